"""python3 -m lab demo [CONFIG] | run CONFIG"""
import os
import signal
import sys
import time

from .demo import demo, pieces
from .gateway import ROOT, WAN
from .space import LabError, Space, interruptible


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None


def keep(config):
    """The lab in the foreground until Ctrl-C."""
    with Space() as space:
        gw = pieces(space, config)
        client = f"nsenter --net={space.path('client')}"
        print(f"""
The gateway runs: http://{WAN}/ in the client's namespace. In another terminal:
  {client} curl -i -H 'Host: shop.lab' http://{WAN}/whoami
  {client} wrk -t1 -c64 -d5s -H 'Host: shop.lab' http://{WAN}/whoami
  {gw.program('cgctl')} --socket {gw.socket} help
  nsenter --net={space.path('gw')} curl -s http://127.0.0.1:{gw.metrics_port}/metrics
Configuration: {gw.config_path} (edit it, then cgctl config reload)
Log:           {os.path.join(space.dir, 'control.log')}
Ctrl-C ends it and removes everything.""", flush=True)
        while gw.control.poll() is None:
            time.sleep(0.5)
        print("control ended: " + gw.log_tail())
        return False


def main():
    argv = sys.argv[1:]
    if argv[:1] == ["demo"] and len(argv) <= 2:
        act, path = demo, argv[1] if len(argv) == 2 else os.path.join(ROOT, "configs/lab.yaml")
    elif argv[:1] == ["run"] and len(argv) == 2:
        act, path = keep, argv[1]
    else:
        print(f"usage: {__doc__}", file=sys.stderr)
        return 2
    interruptible()
    try:
        return 0 if act(read(path)) else 1
    except LabError as error:
        print(f"lab: {error}")
        return 1
    except KeyboardInterrupt:
        print("\nlab: ended; everything it made is removed")
        return 0 if act is keep else 128 + signal.SIGINT


sys.exit(main())
