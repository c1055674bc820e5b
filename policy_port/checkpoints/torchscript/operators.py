"""The operators that a policy network has need of, by what the reader does with them."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ACTIVATIONS = _words(
    "elu selu celu relu relu6 leaky_relu hardtanh tanh sigmoid softplus softsign gelu silu mish softmax log_softmax "
    "hardsigmoid hardswish log_sigmoid prelu glu"
)
ARITHMETIC = _words(
    "linear addmm matmul mm bmm conv1d conv2d add sub rsub mul div true_divide pow sqrt rsqrt exp log neg abs "
    "reciprocal square sin cos atan2 sign floor clamp clamp_min clamp_max clip minimum maximum where mean sum amax "
    "amin max min norm layer_norm batch_norm group_norm max_pool2d avg_pool2d adaptive_avg_pool2d lstm gru isnan "
    "nan_to_num logical_and logical_or logical_not lerp cumsum argmax one_hot std var outer dot einsum cross "
    "frobenius_norm linalg_vector_norm topk scatter scatter_add prod logsumexp round acos asin atan tan erf expm1 "
    "log1p logical_xor argmin sort embedding max_pool1d avg_pool1d adaptive_avg_pool1d pad constant_pad_nd index_put "
    "index_add masked_fill triu tril normalize bitwise_not bitwise_and bitwise_or"
)
LAYOUT = _words(
    "cat stack split split_with_sizes chunk unbind index_select gather permute transpose t squeeze unsqueeze expand "
    "expand_as repeat flip roll contiguous clone detach alias index view_as tile narrow"
)
"""Operators that only move numbers."""

TENSOR = ACTIVATIONS | ARITHMETIC | LAYOUT
"""Run by PyTorch exactly as the graph says."""

IN_PLACE = frozenset(f"{name}_" for name in ACTIVATIONS | ARITHMETIC) | {
    "copy_",
    "zero_",
    "fill_",
    "squeeze_",
    "unsqueeze_",
}
"""Operators that overwrite their first argument."""

VIEWS = _words(
    "split split_with_sizes chunk unbind permute transpose t squeeze unsqueeze expand expand_as detach alias view "
    "reshape flatten slice select narrow view_as"
)
"""Operators whose result may share memory with their first argument."""

UNREAD = _words("device dtype empty full int is_cuda join new_zeros numel numpy_T percentFormat")
"""Harmless operators that stand in the code of real files, in methods and branches that a recording never enters.

One that is met on the way through forward() is an error of its own; the scan reads all code and must let them pass.
"""

DRAWN = frozenset(f"aten::{name}" for name in _words("randn_like rand_like randn rand normal"))
"""Operators that draw numbers with a mean, which stands in their place where the user asks for it."""

_SAMPLED = _words("bernoulli multinomial randint randint_like randperm poisson exponential normal_ uniform_ bernoulli_")
REASONS: dict[str, str] = {
    **dict.fromkeys(
        DRAWN,
        "draws random numbers, so that two calls differ. Export the network without sampling, or take the mean of "
        "every random number with --mean",
    ),
    **{
        f"aten::{name}": "draws at random in a way that has no mean which could be taken; export the network without "
        "sampling"
        for name in _SAMPLED
    },
    "aten::nonzero": "picks by what the network computes, so that the number of rows differs from one observation to "
    "the next. Compute it for every row and choose with torch.where; of a mixture of experts, compute each expert "
    "and add them up by the gate's weights",
}
"""Why some operators are refused that a network may well have."""

PRIM = _words(
    "Constant GetAttr SetAttr ListConstruct ListUnpack TupleConstruct TupleUnpack TupleIndex DictConstruct If Loop "
    "RaiseException unchecked_cast unchecked_unwrap_optional Uninitialized NumToTensor dtype device is_cuda Print "
    "min max data layout CreateObject isinstance shape Return Param TolistOp requires_grad"
)
"""TorchScript's own instructions."""

LANGUAGE = _words(
    "getattr setattr annotate unchecked_cast unchecked_unwrap_optional uninitialized int float bool str len range "
    "print isinstance list tuple dict min max abs round ord NotImplementedError RuntimeError ValueError AssertionError "
    "Exception TypeError IndexError KeyError __isinstance__"
)
"""Functions of the TorchScript language without a namespace."""
