"""What llama.cpp's own quantiser would give every tensor of a GGUF file: its dry run, which reads no weights.

`python benchmarks/llama_cpp_quantize.py LIBLLAMA MODEL.gguf TYPE…` prints a JSON object: of every file type (`+i`
behind it: with an importance matrix) the tensors' GGML types, in the file's order. LIBLLAMA is a shared library
that exports `llama_model_quantize` (that of the `xllamacpp` wheel has it left out).
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
from pathlib import Path

_NUMBERED = (
    "F32 F16 Q4_0 Q4_1 . . . Q8_0 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K "
    "IQ2_XXS IQ2_XS Q2_K_S IQ3_XS IQ3_XXS IQ1_S IQ4_NL IQ3_S IQ3_M IQ2_S IQ2_M IQ4_XS IQ1_M BF16 . . . "
    "TQ1_0 TQ2_0 MXFP4_MOE"
)
FILE_TYPES = {name: i for i, name in enumerate(_NUMBERED.split()) if name != "."}
"""llama.h's `llama_ftype`."""

_LINE = re.compile(
    r"^\[ *\d+/ *\d+\] (\S+) +- \[.*?\], type = +(\w+), size = .*?(?:-> .*?MiB \((\w+)\))?$", re.MULTILINE
)


class _Matrix(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("data", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Params(ctypes.Structure):
    """`llama_model_quantize_params` of llama.h, with room for what later versions add."""

    _fields_ = (
        ("nthread", ctypes.c_int32),
        ("ftype", ctypes.c_int),
        ("output_tensor_type", ctypes.c_int),
        ("token_embedding_type", ctypes.c_int),
        ("allow_requantize", ctypes.c_bool),
        ("quantize_output_tensor", ctypes.c_bool),
        ("only_copy", ctypes.c_bool),
        ("pure", ctypes.c_bool),
        ("keep_split", ctypes.c_bool),
        ("dry_run", ctypes.c_bool),
        ("imatrix", ctypes.POINTER(_Matrix)),
        ("kv_overrides", ctypes.c_void_p),
        ("tt_overrides", ctypes.c_void_p),
        ("prune_layers", ctypes.c_void_p),
        ("later", ctypes.c_size_t * 8),
    )


class Quantizer:
    """llama.cpp's quantiser behind ctypes."""

    def __init__(self, library: Path) -> None:
        self._llama = ctypes.CDLL(str(library))
        self._llama.llama_model_quantize_default_params.restype = _Params
        self._llama.llama_model_quantize.argtypes = (
            ctypes.c_char_p,
            ctypes.c_char_p,
            ctypes.POINTER(_Params),
        )
        self._log: list[str] = []
        callback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
        self._callback = callback(lambda _, text, __: self._log.append(text.decode(errors="replace")))
        self._llama.llama_log_set(self._callback, None)
        self._llama.llama_backend_init()
        value = (ctypes.c_float * 1)(1.0)
        self._value = value
        self._matrix = (_Matrix * 2)(
            _Matrix(b"none", ctypes.cast(value, ctypes.c_void_p), 1), _Matrix(None, None, 0)
        )

    def types(self, model: Path, file_type: str, *, importance: bool) -> dict[str, str]:
        """GGML type by tensor name."""
        params = self._llama.llama_model_quantize_default_params()
        params.ftype = FILE_TYPES[file_type]
        params.allow_requantize = params.dry_run = True
        if importance:
            params.imatrix = self._matrix
        self._log.clear()
        if self._llama.llama_model_quantize(str(model).encode(), b"", ctypes.byref(params)):
            raise RuntimeError("".join(self._log)[-2000:])
        return {name: (new or old).upper() for name, old, new in _LINE.findall("".join(self._log))}


def main() -> None:
    library, model, *wanted = sys.argv[1:]
    quantizer = Quantizer(Path(library))
    found = {
        file_type: quantizer.types(
            Path(model), file_type.removesuffix("+i"), importance=file_type.endswith("+i")
        )
        for file_type in wanted
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
