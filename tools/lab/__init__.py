"""A network of our own with the gateway in its middle: what `make demo`, `make run` and the end-to-end tests
stand on.

    namespace cg<id>-client        namespace cg<id>-gw               namespace cg<id>-back
    curl, wrk, tests               churchgate (its own TCP)          nginx a    198.19.0.11
    198.18.0.2/24   wan ──veth── wan 198.18.0.1 | 198.19.0.1 lan ──veth── lan   nginx b    198.19.0.12
                                   exporter (on lo)                  python     198.19.0.21 ...

In the gateway's namespace the kernel has no address on wan and lan: whatever answers there is ours.
"""
