// SPDX-License-Identifier: MIT
// Binary trees made with malloc, walked and freed.
// group: int
// size: 6600
#include "kernel.h"

typedef struct Node {
    struct Node *left, *right;
} Node;

static Node *grow(unsigned depth) {
    Node *node = malloc(sizeof *node);
    if (!node) exit(1);
    node->left = depth ? grow(depth - 1) : NULL;
    node->right = depth ? grow(depth - 1) : NULL;
    return node;
}

static uint64_t count(const Node *node) { return node ? 1 + count(node->left) + 2 * count(node->right) : 0; }

static void cut(Node *node) {
    if (!node) return;
    cut(node->left);
    cut(node->right);
    free(node);
}

static uint64_t kernel(unsigned percent) {
    uint64_t sum = 0;
    Node *lasting = grow(14);
    for (unsigned round = 0; round < percent * 10; round++) {
        Node *tree = grow(4 + round % 10);
        sum += count(tree);
        cut(tree);
    }
    sum += count(lasting);
    cut(lasting);
    return sum;
}
