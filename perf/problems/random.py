#!/usr/bin/env python3
"""Draws problems at random, for `faltung bench --batch` and `faltung check --batch`: cliffs are where nobody has looked.

    random.py SEED COUNT > problems.txt

One- to three-dimensional, few channels and many, groups, depthwise and multipliers, strides, dilations, kernels of all shapes;
none above 400 MFLOP, none below 10 kFLOP, each only once. The same seed draws the same problems.
"""
import random
import sys

FEWEST, MOST = 1e4, 4e8  # floating-point operations of an image
SIZES = {1: (20, 2000), 2: (6, 120), 3: (4, 24)}  # of images, by their dimensions
KERNELS = {1: (1, 1, 3, 3, 3, 5, 7, 2, 4, 9), 2: (1, 1, 3, 3, 3, 5, 7, 2, 4, 9), 3: (1, 3, 3, 2, 5)}
GROUPS, OF_A_GROUP = (2, 3, 4, 8, 16, 32), (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
MANY = (64, 96, 128, 160, 192, 256, 320, 384, 512, 768)


def channels(draw):
    return draw.choice((draw.randint(1, 9), draw.randint(10, 70), draw.choice(MANY)))


def draw_channels(draw):
    """Groups, channels of the input, of the output."""
    kind = draw.random()
    if kind < 0.12:
        count = channels(draw)
        return count, count, count * draw.choice((1, 1, 1, 2, 3))
    if kind < 0.25:
        groups = draw.choice(GROUPS)
        return groups, groups * draw.choice(OF_A_GROUP), groups * draw.choice(OF_A_GROUP)
    return 1, channels(draw), channels(draw)


def draw_dimension(draw, dimensions):
    """Input, output, kernel, stride, dilation, padding."""
    size, kernel = draw.randint(*SIZES[dimensions]), draw.choice(KERNELS[dimensions])
    stride, dilation = draw.choice((1, 1, 1, 1, 2, 2, 3)), draw.choice((1, 1, 1, 1, 1, 2, 3)) if kernel > 1 else 1
    extent = (kernel - 1) * dilation + 1
    padding = draw.choice((0, extent // 2, extent // 2))
    return size, (size + 2 * padding - extent) // stride + 1, kernel, stride, dilation, padding


def draw_problem(draw):
    """In benchdnn's notation, where dilation counts the skipped pixels; or None."""
    dimensions = draw.choice((2, 2, 2, 2, 1, 3))
    groups, inputs, outputs = draw_channels(draw)
    shape = [draw_dimension(draw, dimensions) for _ in range(dimensions)]
    if draw.random() < 0.8:  # the same in all dimensions
        shape = shape[:1] * dimensions
    operations = 2.0 * inputs * outputs / groups
    for _, output, kernel, _, _, _ in shape:
        operations *= output * kernel if output > 0 else 0
    if not FEWEST <= operations <= MOST:
        return None
    names = "dhw"[-dimensions:]
    field = lambda letter, i, less=0: "".join(f"{letter}{name}{of[i] - less}" for name, of in zip(names, shape))
    prefix = f"g{groups}" if groups > 1 else ""
    return (f"{prefix}mb{draw.choice((1, 1, 1, 2, 4))}ic{inputs}{field('i', 0)}oc{outputs}{field('o', 1)}{field('k', 2)}{field('s', 3)}"
            f"{field('p', 5)}{field('d', 4, 1)}")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    draw, problems = random.Random(int(sys.argv[1])), set()
    while len(problems) < int(sys.argv[2]):
        problem = draw_problem(draw)
        if problem:
            problems.add(problem)
    print("\n".join(sorted(problems)))


if __name__ == "__main__":
    main()
