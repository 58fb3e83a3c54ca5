#!/usr/bin/env python3
"""Takes part in Crucible without Crucible: speaks the handshake and the frames as their README pages describe them.

python_peer.py connect ADDRESS MECHANISM [--key HEX]   goes through the door at ADDRESS
python_peer.py listen ADDRESS MECHANISM [--key HEX]    opens one, prints its address, serves one client
python_peer.py speaks SCHEME                           exit code 0 if it knows this scheme's frames

Then it says who it is and answers every object: a dict {"sum": [numbers]} with their sum, anything else by itself, until
end of file. The handshake: impl/core/README.md; frames: README.md of impl/unix_socket and impl/tcp_socket.
Exit code 0: end of file after whole messages; 4: the key is not the other side's; 5: the other side broke the rules.
"""
import argparse
import ctypes
import fcntl
import hashlib
import hmac
import os
import signal
import socket
import struct
import sys

import msgpack

KEYS_DIFFER, PROTOCOL = 4, 5
PR_SET_PDEATHSIG = 1
HELLO = struct.Struct("<8sBB22s32s")
VERDICT = struct.Struct("<8s32s")
MAGIC, WELCOME = b"CRUCIBLE", b"WELCOME\0"


class Refused(Exception):
    """One side could not prove that it knows the key."""


class Broken(Exception):
    """What came is not what the pages say."""


class Packets:
    """unix_socket: one message is one or more packets, each behind its message's length and its own offset in it."""
    HEADER = struct.Struct("<QQ")
    PART = 60_000
    HANDLE = b"HANDLE\0\1"
    PAGE = 4096  # what the ends tell one another beside their packets: zeros promise nothing

    def __init__(self, channel):
        self.channel = channel

    def exchange(self, size):
        return self.channel.recv(size)

    def enter(self):
        """The listener's first packet brings the page that both ends share."""
        packet, pages, _, _ = socket.recv_fds(self.channel, 4096, 8)
        if packet != self.HANDLE or len(pages) != 1:
            raise Broken("no page came behind the welcome")
        os.close(pages[0])

    def admit(self):
        page = os.memfd_create("page", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.posix_fallocate(page, 0, self.PAGE)
        fcntl.fcntl(page, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        socket.send_fds(self.channel, [self.HANDLE], [page])
        os.close(page)

    def send(self, message):
        for offset in range(0, max(1, len(message)), self.PART):
            part = message[offset:offset + self.PART]
            self.channel.sendmsg([self.HEADER.pack(len(message), offset), part])

    def receive(self):
        """None at end of file."""
        message, length = b"", None
        while length is None or len(message) < length:
            packet = self.channel.recv(1 << 18)
            if not packet:
                if length is not None:
                    raise Broken("end of file inside a message")
                return None
            length, offset = self.HEADER.unpack_from(packet)
            if offset == 0:
                message = b""  # also if its sender gave the one before up
            elif offset != len(message):
                raise Broken(f"a packet at {offset} instead of {len(message)}")
            message += packet[self.HEADER.size:]
        return message


class Stream:
    """tcp_socket: frames of a header, a lead, the payload and padding, confirmed piece by piece if segmented."""
    HEADER = struct.Struct("<BBHIQ")
    LEAST = 64
    SEGMENT = 65_536

    def __init__(self, channel):
        self.channel = channel

    def enter(self):
        """The first frame follows the welcome."""

    admit = enter

    def exchange(self, size):
        """Up to `size` bytes; fewer at end of file."""
        data = b""
        while len(data) < size:
            more = self.channel.recv(size - len(data))
            if not more:
                break
            data += more
        return data

    def send(self, message):
        padding = max(0, self.LEAST - self.HEADER.size - len(message))
        self.channel.sendall(self.HEADER.pack(0, 0, padding, 0, len(message)) + message + bytes(padding))

    def _exactly(self, size):
        data = self.exchange(size)
        if len(data) < size:
            raise Broken("end of file inside a frame")
        return data

    def receive(self):
        """None at end of file."""
        while True:
            start = self.exchange(self.HEADER.size)
            if not start:
                return None
            segmented, lead, padding, _, length = self.HEADER.unpack(start + self._exactly(self.HEADER.size - len(start)))
            self._exactly(lead)
            if not segmented:
                return self._exactly(length + padding)[:length]
            body, left = b"", length + padding
            while True:
                body += self._exactly(min(left, self.SEGMENT))
                left -= min(left, self.SEGMENT)
                if self._exactly(1) == b"\0":
                    break  # given up by its sender
                if left == 0:
                    return body[:length]


FRAMES = {"unix": Packets, "tcp": Stream}


def prove(key, role, server, client):
    return hmac.new(key, role + server + client, hashlib.sha256).digest()


def hello(mechanism, key):
    return HELLO.pack(MAGIC, 1, key is not None, mechanism.encode(), os.urandom(32))


def hear_hello(frames, own):
    theirs = frames.exchange(HELLO.size)
    if len(theirs) != HELLO.size or theirs[:32] != own[:32]:
        raise Refused("the other side speaks another version or mechanism, or only one side has a key")
    return theirs


def shake_hands_as_client(frames, mechanism, key):
    own = hello(mechanism, key)
    frames.channel.sendall(own)
    server = hear_hello(frames, own)
    if key is not None:
        frames.channel.sendall(prove(key, b"C", server, own))
    verdict = frames.exchange(VERDICT.size)
    if len(verdict) != VERDICT.size or verdict[:8] != WELCOME:
        raise Refused("the listener refuses")
    if key is not None and not hmac.compare_digest(verdict[8:], prove(key, b"S", server, own)):
        raise Refused("the listener does not know the key")
    frames.enter()


def shake_hands_as_server(frames, mechanism, key):
    own = hello(mechanism, key)
    frames.channel.sendall(own)
    client = hear_hello(frames, own)
    proof = bytes(32)
    if key is not None:
        if not hmac.compare_digest(frames.exchange(32), prove(key, b"C", own, client)):
            raise Refused("the client does not know the key")
        proof = prove(key, b"S", own, client)
    frames.channel.sendall(VERDICT.pack(WELCOME, proof))
    frames.admit()


def parse(address):
    """(scheme, what socket() takes, what connect() and bind() take); without a place the system chooses one"""
    scheme, where = address.split(":", 1)
    if scheme == "unix":
        return scheme, (socket.AF_UNIX, socket.SOCK_SEQPACKET), where.replace("@", "\0", 1) if where[:1] == "@" else where
    host, _, port = where.rpartition(":")
    return scheme, (socket.AF_INET, socket.SOCK_STREAM), (host or "127.0.0.1", int(port or 0))


def open_channel(role, address):
    scheme, kind, place = parse(address)
    channel = socket.socket(*kind)
    if role == "connect":
        channel.connect(place)
    else:
        with channel as door:
            door.bind(place)
            door.listen()
            name = door.getsockname()
            print(scheme + ":" + (f"{name[0]}:{name[1]}" if scheme == "tcp" else name.decode().replace("\0", "@", 1)),
                  flush=True)
            channel, _ = door.accept()
    if scheme == "tcp":
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return FRAMES[scheme](channel)


def answer(request):
    if isinstance(request, dict) and "sum" in request:
        return sum(request["sum"])
    return request


def talk(frames):
    pack = msgpack.Packer(use_bin_type=True).pack
    frames.send(pack({"language": "Python", "values": [None, True, -1, 2**63, 2.5, b"\0\xff", "\u00fc"],
                      "long": "x" * 300_000}))
    while (message := frames.receive()) is not None:
        frames.send(pack(answer(msgpack.unpackb(message, raw=False, strict_map_key=False))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=["connect", "listen", "speaks"])
    parser.add_argument("address")
    parser.add_argument("mechanism", nargs="?")
    parser.add_argument("--key", type=bytes.fromhex)
    options = parser.parse_args()
    if options.role == "speaks":
        return 0 if options.address in FRAMES else 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    frames = open_channel(options.role, options.address)
    shake_hands = shake_hands_as_client if options.role == "connect" else shake_hands_as_server
    try:
        shake_hands(frames, options.mechanism, options.key)
        talk(frames)
    except Refused as error:
        print(f"python_peer.py: {error}", file=sys.stderr)
        return KEYS_DIFFER
    except Broken as error:
        print(f"python_peer.py: {error}", file=sys.stderr)
        return PROTOCOL
    return 0


if __name__ == "__main__":
    sys.exit(main())
