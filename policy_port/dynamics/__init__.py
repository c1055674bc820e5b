"""What was identified of a robot: the document, read strictly, that simulators and trainings take."""
