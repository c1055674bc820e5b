"""Runs a suite and a sweep on a local Ray cluster of so many nodes, in a process of its own; prints what came out."""

from __future__ import annotations

import json
import sys


def main() -> None:
    import ray
    from ray.cluster_utils import Cluster

    from policy_port.regress import load_suite
    from policy_port.regress.ray_cluster import cores, on_ray
    from policy_port.regress.run import run_suite
    from policy_port.sweep.document import load_sweep
    from policy_port.sweep.run import run_sweep

    memory = 100 * 2**20
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": memory})
    for _ in range(int(sys.argv[2]) - 1):
        cluster.add_node(num_cpus=1, object_store_memory=memory)
    cluster.wait_for_nodes()
    try:
        performer = on_ray(cluster.address)
        nodes = []

        def watch(todo):  # type: ignore[no-untyped-def]
            for job, result in performer(todo):
                nodes.append(result["node"])
                yield job, result

        verdicts = run_suite(load_suite(sys.argv[1]), fresh=True, performer=watch)
        found = {"nodes": list(nodes), "verdicts": [verdict.plain() for verdict in verdicts]}
        nodes.clear()
        swept = run_sweep(load_sweep(sys.argv[3]), jobs=cores(), performer=watch)
        print(json.dumps({**found, "workers": nodes, "swept": [[one.error, one.failure] for one in swept]}))
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
