"""One peer, or several that share its connection: `peer.py SOCKET STEP...`.

A step is done by the process that is there; `fork`, `hand-over` and `reborn` let another go on with
the rest, while this one waits for its end. What `recv` receives is printed, one line of hex each.
"""
import array
import os
import socket
import sys
import time


def make():
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def go_on(child):
    """In the parent: ends as the child does."""
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def reborn(pid):
    """Forks a process that has the number of one that has ended."""
    for _ in range(500):
        with open("/proc/sys/kernel/ns_last_pid", "w") as last:
            last.write(str(pid - 1))
        child = os.fork()
        if child == 0:
            if os.getpid() == pid:
                return
            os._exit(99)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != 99:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    print("not reborn", flush=True)
    os._exit(98)


def hand_over(sock):
    """Has a process that never had the connection go on with it, by SCM_RIGHTS."""
    ours, theirs = socket.socketpair()
    # Made before the connection was known to it: it closes what it inherited.
    child = os.fork()
    if child == 0:
        sock.close()
        ours.close()
        _, rights, _, _ = theirs.recvmsg(1, socket.CMSG_SPACE(4))
        number = array.array("i", rights[0][2][:4])[0]
        return socket.socket(fileno=number)
    socket.send_fds(ours, [b"x"], [sock.fileno()])
    go_on(child)


def main():
    path, steps = sys.argv[1], sys.argv[2:]
    sock = make()
    if path.startswith("fd:"):
        path, number = path[3:].split(":", 1)
        sock = socket.socket(fileno=int(number))
    victim = None
    while steps:
        step = steps.pop(0)
        name, _, value = step.partition("=")
        if name == "connect":
            sock.connect(path)
        elif name == "send":
            sock.send(bytes.fromhex(value))
        elif name == "lie":
            pid, packet = value.split(",")
            ucred = array.array("i", [int(pid), os.getuid(), os.getgid()])
            sock.sendmsg([bytes.fromhex(packet)], [(socket.SOL_SOCKET, 2, ucred)])
        elif name == "recv":
            print(sock.recv(200_000).hex(), flush=True)
        elif name == "setuid":
            os.setgid(int(value))
            os.setuid(int(value))
        elif name == "fork":
            child = os.fork()
            if child:
                go_on(child)
        elif name == "hand-over":
            sock = hand_over(sock)
        elif name == "exec":
            sock.set_inheritable(True)
            at = f"fd:{path}:{sock.fileno()}"
            os.execv(sys.executable, [sys.executable, os.path.abspath(__file__), at, *steps])
        elif name == "victim":
            # The next so many steps are done by a child, which then ends.
            count = int(value)
            victim = os.fork()
            if victim == 0:
                steps = steps[:count]
                continue
            os.waitpid(victim, 0)
            steps = steps[count:]
        elif name == "reborn":
            reborn(victim)
        elif name == "storm":
            # Children that connect and end at once, some before they say anything.
            children = []
            for index in range(int(value)):
                child = os.fork()
                if child == 0:
                    own = make()
                    own.connect(path)
                    if index % 2:
                        try:
                            own.send(b"x")
                        except BrokenPipeError:
                            pass  # turned away already
                    os._exit(0)
                children.append(child)
            for child in children:
                os.waitpid(child, 0)
        elif name == "wait":
            # Until the other end is closed.
            sock.recv(1)
        elif name == "sleep":
            time.sleep(float(value))
        else:
            sys.exit(f"no step is called {name}")
    sys.stdout.flush()
    os._exit(0)


main()
