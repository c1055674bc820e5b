"""Diagnosis without a trace: play what a contract might have meant in a simulator, and see what does better.

A room of its own beside `verdict`: that one judges numbers that somebody recorded and starts no simulator, this one
knows nothing of what was recorded and needs plants, the control loop and the replay's tasks for everything it says.
What both say in the end, hypotheses with the edits of a contract that mend it, is of the room `mistakes`.
"""
