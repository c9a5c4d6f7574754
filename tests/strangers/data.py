"""Samples of every kind of array."""

from __future__ import annotations

import numpy as np
import scipy.sparse
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.strangers.rows import C, Row, flat, mlp, net, quiet, tokens

X, Y = flat()
TOKENS, LABELS = tokens()


def embedding():
    return net(lambda: nn.Embedding(9, 3), nn.Flatten, lambda: nn.Linear(12, C))


def convolution():
    return net(lambda: nn.Conv1d(1, 2, 3), nn.Flatten, nn.Tanh, lambda: nn.Linear(4, C))


ROWS = {
    "arrays": Row(mlp(), (X.numpy(), Y.numpy())),
    "lists": Row(mlp(), (X.tolist(), Y.tolist())),
    "list of rows": Row(mlp(), ([*X], [*Y]), inputs=X),
    "numpy, other byte order and stride": Row(
        mlp(), (X.double().numpy().astype(">f8")[::-1], Y.numpy()[::-1].astype(">i4")), inputs=X.flip(0)
    ),
    "bfloat16": Row(mlp(), (X.bfloat16(), Y), inputs=X.bfloat16().double()),
    "float16": Row(mlp(), (X.half(), Y), inputs=X.half().double()),
    "samples that require gradients": Row(mlp(), (X.clone().requires_grad_(True), Y), inputs=X),
    "bytes": Row(mlp(), ((X.abs() * 50).byte(), Y), inputs=(X.abs() * 50).byte().double()),
    "booleans": Row(mlp(), (X > 0, Y), inputs=(X > 0).double()),
    "tokens int64": Row(embedding(), (TOKENS, LABELS)),
    "tokens int32": Row(embedding(), (TOKENS.int(), LABELS), inputs=TOKENS),
    "tokens int16": Row(embedding(), (TOKENS.short(), LABELS), inputs=TOKENS),
    "tokens uint8": Row(embedding(), (TOKENS.byte(), LABELS), inputs=TOKENS),
    "whole numbers for a linear layer": Row(
        mlp(), (X.long(), Y), sentence="whole numbers stay so; convert them to float32"
    ),
    "another width": Row(mlp(6), (X, Y), sentence=r"samples of shape \(5,\)"),
    "an axis too few": Row(convolution(), (X, Y), sentence=r"samples of shape \(5,\)"),
    "complex": Row(mlp(), (X.to(torch.cfloat), Y), sentence="complex64"),
    "sparse tensor": Row(mlp(), (X.to_sparse(), Y), sentence=r"X is sparse.*to_dense\(\)"),
    "sparse matrix": Row(mlp(), (scipy.sparse.csr_array(X.numpy()), Y), sentence=r"X is sparse.*toarray\(\)"),
    "nested tensor": Row(
        mlp(), (quiet(torch.nested.as_nested_tensor, [X[0], X[1, :3]]), Y[:2]), sentence="X is a nested tensor; pad it"
    ),
    "quantized": Row(
        mlp(), (quiet(torch.quantize_per_tensor, X, 0.1, 0, torch.qint8), Y), sentence=r"X is quantized.*dequantize\(\)"
    ),
    "meta": Row(mlp(), (X.to("meta"), Y), sentence="meta device"),
    "masked array": Row(mlp(), (np.ma.masked_greater(X.numpy(), 1.0), Y), sentence="masked entries"),
    "ragged lists": Row(embedding(), ([[1, 2], [1, 2, 3]], [0, 1]), sentence="different lengths.*pad"),
    "ragged tensors": Row(embedding(), ([TOKENS[0], TOKENS[1, :2]], Y[:2]), sentence="different lengths.*pad"),
    "list of batches": Row(mlp(), [(X[:4], Y[:4]), (X[4:8], Y[4:8]), (X[8:], Y[8:])], sentence="list of 3 batches"),
    "list of two batches": Row(mlp(), [(X[:6], Y[:6]), (X[6:], Y[6:])], sentence="list of 2 batches.*torch.cat"),
    "mapping": Row(mlp(), ({"x": X}, Y), sentence="X is a dict of arrays"),
    "batch of a tokenizer": Row(mlp(), {"input_ids": TOKENS, "labels": Y}, sentence=r"\(X, y\) or a BlockStore"),
    "DataLoader": Row(mlp(), DataLoader(TensorDataset(X, Y), 4), sentence=r"\(X, y\) or a BlockStore"),
    "Dataset": Row(mlp(), TensorDataset(X, Y), sentence=r"\(X, y\) or a BlockStore"),
    "text": Row(mlp(), ([["a"]] * 12, Y), sentence="give float32"),
    "objects": Row(mlp(), (np.array([[None]] * 12), Y), sentence="give float32"),
    "no samples": Row(mlp(), (X[:0], Y[:0]), sentence="empty"),
    "not a number": Row(mlp(), (X * torch.nan, Y), sentence="NaN or infinite"),
    "one sample": Row(mlp(), (X[:1], Y[:1])),
}
