"""Decodes br (RFC 7932) with the distribution's library, piece by piece."""
import ctypes

LIB = ctypes.CDLL("libbrotlidec.so.1")
LIB.BrotliDecoderCreateInstance.restype = ctypes.c_void_p
LIB.BrotliDecoderCreateInstance.argtypes = [ctypes.c_void_p] * 3
LIB.BrotliDecoderDestroyInstance.argtypes = [ctypes.c_void_p]
SIZE, BYTES = ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_void_p)
LIB.BrotliDecoderDecompressStream.argtypes = [ctypes.c_void_p, SIZE, BYTES, SIZE, BYTES, ctypes.c_void_p]
ROOM = 1 << 16


class Decoder:
    def __init__(self):
        self.state = LIB.BrotliDecoderCreateInstance(None, None, None)
        self.eof, self.unused_data = False, b""

    def __del__(self):
        LIB.BrotliDecoderDestroyInstance(self.state)

    def decompress(self, data):
        source, out = ctypes.create_string_buffer(data, len(data) or 1), ctypes.create_string_buffer(ROOM)
        left, at, pieces = ctypes.c_size_t(len(data)), ctypes.c_void_p(ctypes.addressof(source)), []
        while True:
            room, to = ctypes.c_size_t(ROOM), ctypes.c_void_p(ctypes.addressof(out))
            result = LIB.BrotliDecoderDecompressStream(self.state, ctypes.byref(left), ctypes.byref(at), ctypes.byref(room),
                                                       ctypes.byref(to), None)
            assert result != 0, "malformed br"
            pieces.append(out.raw[:ROOM - room.value])
            if result != 3:  # 3: more room is needed
                self.eof, self.unused_data = result == 1, data[len(data) - left.value:]
                return b"".join(pieces)
