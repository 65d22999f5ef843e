// The tables of one instruction set, made from the vector version of every kernel. Each of avx2.c,
// avx512.c and avx512_bf16.c includes it once, after naming the set (see words.h).
#pragma once

#include "api/kernel_table.h"
#include "api/product_table.h"
#include "attention/vector_attention.h"
#include "products/vector_products.h"
#include "vector/elements.h"
#include "vector/normalization.h"
#include "vector/transposition.h"
#include "vector/words.h"
#include "winograd/vector_winograd.h"

const kernel_table KERNELS = {
    .moments = moments,
    .scale_shift = scale_shift,
    .layer_norm = layer_norm,
    .activation = activation,
    .geglu = geglu,
    .add = add,
    .add_row = add_row,
    .transpose = transpose,
    .tile_queries = ATTENTION_QUERIES,
    .attention_scratch = any_attention_scratch,
    .attention = any_attention,
};

const product_table PRODUCTS = {
    .rows = PRODUCT_ROWS,
    .product = product,
    .finish = finish,
    .normalize = normalize,
    .input2 = input2,
    .input4 = input4,
    .output2 = output2,
    .output4 = output4,
    .weights2 = weights2,
    .weights4 = weights4,
    .interleave = interleave,
};
