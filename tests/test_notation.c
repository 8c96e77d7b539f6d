/* test_notation.c - problem descriptors (perf/notation.h) and the built-in networks (perf/nets.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faltung.h"
#include "nets.h"
#include "notation.h"

/* Bytes of falt_conv that a problem descriptor decides; they have no padding between them. */
#define GEOMETRY offsetof(falt_conv, layout)

static struct notation parse(const char *text, bool transposed)
{
    struct notation notation;
    char error[256] = "";
    if (!notation_parse(text, transposed, &notation, error, sizeof error))
        fail_msg("%s: %s", text, error);
    return notation;
}

static void output_shape(const falt_conv *conv, int64_t *out)
{
    if (falt_output_shape(conv, out) != FALT_OK)
        fail_msg("%s", falt_last_error());
}

static void fields(void **state)
{
    (void)state;
    const struct notation n = parse("g32mb3_ic32oc64_ih112oh56kh3sh2dh0ph1_iw100ow96kw5sw1dw1pw2n\"a name: x*3\"", false);
    const falt_conv *c = &n.conv;
    assert_int_equal(c->struct_size, sizeof(falt_conv));
    assert_int_equal(c->spatial_dims, 2);
    assert_int_equal(c->transposed, 0);
    assert_int_equal(c->batch, 3);
    assert_int_equal(c->groups, 32);
    assert_int_equal(c->in_channels, 32);
    assert_int_equal(c->out_channels, 64);
    const int64_t expected[][2] = {{112, 100}, {3, 5}, {2, 1}, {1, 2}, {1, 2}, {1, 2}, {0, 0}};
    const int64_t *const actual[] = {c->in, c->kernel, c->stride, c->dilation, c->pad_begin, c->pad_end, c->output_padding};
    for (int i = 0; i < 7; ++i)
        for (int dim = 0; dim < 2; ++dim)
            assert_int_equal(actual[i][dim], expected[i][dim]);
    assert_string_equal(n.name, "a name: x");
    assert_int_equal(n.repeats, 3);
}

/* Each says the same as the other, by benchdnn's defaults. */
static void defaults(void **state)
{
    (void)state;
    static const struct {
        const char *text, *same;
        bool transposed;
    } cases[] = {
        {"ic3ih8oc4kh3", "g1mb2ic3ih8iw8oc4oh6ow6kh3kw3sh1sw1ph0pw0dh0dw0", false},
        {"kh3oc4ih8ic3", "ic3ih8oc4kh3", false},
        {"__ic3_ih8__oc4kh3_", "ic3ih8oc4kh3", false},
        {"  ic3ih8oc4kh3 \t\n", "ic3ih8oc4kh3", false},
        {"ic3ih8oc4kh3oh0", "ic3ih8oc4kh3", false},       /* 0: to be computed */
        {"ic3ih8oc4oh8kh3", "ic3ih8oc4oh8kh3ph1", false}, /* half of what the sizes imply */
        {"ic3ih8oc4oh4kh4sh2", "ic3ih8oc4oh4kh4sh2ph1", false},
        {"ic3ih8oc4oh8kh4", "ic3ih8oc4oh8kh4ph1", false}, /* 3 = 1 + 2 */
        {"ic3ih56oc4oh28kh1sh2", "ic3ih56oc4kh1sh2ph0", false},
        {"ic3ih8iw8oc4kh3kw3dw0sw1", "ic3ih8oc4kh3", false},
        {"ic3ih8oc4kh3sh2sw1pw0", "ic3ih8oc4kh3sh2", false}, /* a dimension of defaults is none */
        {"ic3iw8oc4kw3pw1", "mb2ic3iw8oc4ow8kw3pw1", false},
        {"ic3id8oc4kd3pd1", "ic3id8ih8iw8oc4kd3kh3kw3pd1ph1pw1", false},
        {"ic3ih4oc5kh4sh2ph1", "ic3ih4oc5oh8kh4sh2ph1", true},
        {"ic3ih4oc5oh8kh4sh2", "ic3ih4oc5oh8kh4sh2ph1", true},
        {"ic3ih4oc5oh9kh2sh2", "ic3ih4oc5oh9kh2sh2ph0", true}, /* more than is covered: output padding */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        const struct notation a = parse(cases[i].text, cases[i].transposed), b = parse(cases[i].same, cases[i].transposed);
        if (memcmp(&a.conv, &b.conv, GEOMETRY) != 0)
            fail_msg("%s is not %s", cases[i].text, cases[i].same);
    }
}

/* Padding and output padding of one dimension, and the output size that the library makes of them. */
static void padding(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool transposed;
        int64_t begin, end, output_padding, out;
    } cases[] = {
        {"ic1oc1iw8kw3pw1", false, 1, 1, 0, 8},
        {"ic1oc1iw8ow8kw3pw1", false, 1, 1, 0, 8},
        {"ic1oc1iw8ow8kw3pw2", false, 2, 0, 0, 8}, /* causal */
        {"ic1oc1iw8ow8kw3pw0", false, 0, 2, 0, 8},
        {"ic1oc1iw224ow112kw3sw2pw0", false, 0, 1, 0, 112}, /* TensorFlow's SAME */
        {"ic1oc1iw224ow112kw3sw2pw1", false, 1, 1, 0, 112}, /* the last row of padding is never reached; 1 + 0 would do */
        {"ic1oc1iw56ow28kw1sw2pw0", false, 0, 0, 0, 28},    /* benchdnn: -1 at the end */
        {"ic1oc1iw5ow9kw3pw3", false, 3, 3, 0, 9},
        {"ic512oc1024_iw19ow19kw3sw1dw5pw6", false, 6, 6, 0, 19},
        {"ic1oc1iw16000ow16000kw2dw511pw512", false, 512, 0, 0, 16000},
        {"ic1oc1iw4kw4sw2pw1", true, 1, 1, 0, 8},
        {"ic1oc1iw4ow9kw4sw2pw1", true, 1, 1, 1, 9},
        {"ic1oc1iw4ow7kw4sw2pw1", true, 1, 2, 0, 7},
        {"ic1oc1iw4ow7kw4sw2", true, 1, 2, 0, 7},
        {"ic1oc1iw4ow11kw3dw1sw2pw0", true, 0, 0, 0, 11},
        {"ic1oc1iw4ow20kw3sw2", true, 0, 0, 11, 20},
        {"ic1oc1iw1kw4", true, 0, 0, 0, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        const falt_conv conv = parse(cases[i].text, cases[i].transposed).conv;
        int64_t out;
        output_shape(&conv, &out);
        if (conv.pad_begin[0] != cases[i].begin || conv.pad_end[0] != cases[i].end ||
            conv.output_padding[0] != cases[i].output_padding || out != cases[i].out)
            fail_msg("%s: %d + %d + %d -> %d", cases[i].text, (int)conv.pad_begin[0], (int)conv.pad_end[0],
                     (int)conv.output_padding[0], (int)out);
        assert_int_equal(conv.spatial_dims, 1);
        assert_int_equal(conv.transposed, cases[i].transposed);
    }
}

static void names(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name;
        int64_t repeats;
    } cases[] = {
        {"", "", 1},
        {"n", "", 1},
        {"n\"\"", "", 1},
        {"n\"conv1\"", "conv1", 1},
        {"n\"conv1\"  \n", "conv1", 1},
        {"nconv1", "conv1", 1},
        {"nconv1*12 ", "conv1", 12},
        {"_n\"resnet_50:res2a_branch2b*3\"", "resnet_50:res2a_branch2b", 3},
        {"n\"a*b\"", "a*b", 1},
        {"n\"a*\"", "a*", 1},
        {"n\"a*2*3\"", "a*2", 3},
        {"n\"a*2*1\"", "a*2", 1},
        {"n\"7\"", "7", 1},
        {"n\"*3\"", "", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        char text[128];
        snprintf(text, sizeof text, "ic3ih8oc4kh3%s", cases[i].text);
        const struct notation n = parse(text, false);
        assert_string_equal(n.name, cases[i].name);
        assert_int_equal(n.repeats, cases[i].repeats);
    }
}

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
        bool transposed;
    } cases[] = {
        {"", "empty problem", false},
        {" \t ", "empty problem", false},
        {"ic64ih56oc64kz3", "unknown field 'kz' at column 13", false},
        {"  ic64ih56oc64kz3", "unknown field 'kz' at column 15", false},
        {"ic64ih56oc64KH3", "unknown field 'KH' at column 13", false},
        {"i", "unknown field 'i' at column 1", false},
        {"ic64-ih56", "unexpected '-' at column 5", false},
        {"ic64ih56 oc64kh3", "unexpected ' ' at column 9", false},
        {"ic64\xc3ih56", "unexpected byte 0xc3 at column 5", false},
        {"ic64ihoc64", "'ih' at column 5 needs a number, 0 or above", false},
        {"ic64ih-3oc64", "'ih' at column 5 needs a number, 0 or above", false},
        {"ic64ih99999999999oc64kh3", "'ih' at column 5: number above 2147483647", false},
        {"ic64ih99999999999999999999999999999999oc64kh3", "'ih' at column 5: number above 2147483647", false},
        {"ic64ih5ic32", "field 'ic' at column 8 was given at column 1 already", false},
        {"ih8kh3oc4", "'ic' is missing", false},
        {"ic3ih8kh3", "'oc' is missing", false},
        {"ic0oc4ih8kh3", "'ic' at column 1 must be above 0", false},
        {"ic3oc4g0ih8kh3", "'g' at column 7 must be above 0", false},
        {"g2ic3oc4ih8kh3", "'ic' 3 at column 3 is not a multiple of g 2", false},
        {"g2ic4oc3ih8kh3", "'oc' 3 at column 6 is not a multiple of g 2", false},
        {"ic3oc4", "no spatial size: 'iw' and 'kw', 'ih' and 'kh', or 'id' and 'kd' are missing", false},
        {"ic3oc4ih8", "'kh' is missing", false},
        {"ic3oc4kh3oh8", "'ih' is missing", false},
        {"ic3oc4ih0kh3", "'ih' at column 7 must be above 0", false},
        {"ic3oc4ih8iw8kh3", "'kw' is missing", false},
        {"ic3oc4ih8kh3sh0", "'sh' at column 13 must be above 0", false},
        {"ic3oc4id8ih8kd3kh3", "with fields of 'd', both 'h' and 'w' must be given or neither; 'w' is missing", false},
        {"ic3oc4id8iw8kd3kw3", "with fields of 'd', both 'h' and 'w' must be given or neither; 'h' is missing", false},
        {"ic3oc4ih4kh7ph1", "no output in 'h': kernel extent 7 exceeds padded input 6", false},
        {"ic3oc4ih4kh3dh2", "no output in 'h': kernel extent 7 exceeds padded input 4", false},
        {"ic3oc4ih8oh3kh3", "'oh' 3 at column 10: even without padding at the end there are 6 outputs", false},
        {"ic3oc4ih8oh6kh3ph2", "'oh' 6 at column 10: even without padding at the end there are 8 outputs", false},
        {"ic3oc4ih1kh3ph2", "no output in 'h': padding 2 takes away all of 3", true},
        {"ic3oc4ih9oh20kh3dh2147483647", "padding in 'h' would be 2147483653, above 2147483647", false},
        {"ic3oc4ih2147483647kh3sh3", "output size in 'h' is above 2147483647", true},
        {"ic3oc4ih8kh3n\"x", "the quote opened at column 14 is not closed", false},
        {"ic3oc4ih8kh3n\"x\"ph1", "unexpected 'p' at column 17 behind the name", false},
        {"ic3oc4ih8kh3nx ph1", "unexpected 'p' at column 16 behind the name", false},
        {"ic3oc4ih8kh3nx\"y\"", "unexpected '\"' at column 15 behind the name", false},
        {"ic3oc4ih8kh3n\"x*0\"", "repeat count at column 17 is not between 1 and 2147483647", false},
        {"ic3oc4ih8kh3n\"x*9999999999\"", "repeat count at column 17 is not between 1 and 2147483647", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        struct notation notation;
        char error[256] = "";
        if (notation_parse(cases[i].text, cases[i].transposed, &notation, error, sizeof error))
            fail_msg("%s is accepted", cases[i].text);
        assert_string_equal(error, cases[i].error);
    }
    char text[256] = "ic3oc4ih8kh3n", error[256], tiny[8];
    struct notation notation;
    memset(text + 13, 'x', 127);
    assert_true(notation_parse(text, false, &notation, error, sizeof error));
    text[13 + 127] = 'x';
    assert_false(notation_parse(text, false, &notation, error, sizeof error));
    assert_string_equal(error, "name at column 14 is longer than 127 bytes");
    assert_false(notation_parse("zz", false, &notation, tiny, sizeof tiny));
    assert_string_equal(tiny, "unknown");
}

/* Whatever is printed parses back to the same sizes and the same map, and prints the same again. */
static void check_round_trip(const struct notation *n)
{
    char text[512], again[512], tiny[5];
    const int length = notation_print(&n->conv, n->name, n->repeats, text, sizeof text);
    assert_int_equal(length, strlen(text));
    const struct notation back = parse(text, n->conv.transposed);
    assert_string_equal(back.name, n->name);
    assert_int_equal(back.repeats, n->repeats);
    notation_print(&back.conv, back.name, back.repeats, again, sizeof again);
    assert_string_equal(again, text);

    assert_int_equal(back.conv.spatial_dims, n->conv.spatial_dims);
    assert_int_equal(back.conv.batch, n->conv.batch);
    assert_int_equal(back.conv.groups, n->conv.groups);
    assert_int_equal(back.conv.in_channels, n->conv.in_channels);
    assert_int_equal(back.conv.out_channels, n->conv.out_channels);
    int64_t out[FALT_MAX_DIMS], back_out[FALT_MAX_DIMS];
    output_shape(&n->conv, out);
    output_shape(&back.conv, back_out);
    for (int dim = 0; dim < n->conv.spatial_dims; ++dim) {
        assert_int_equal(back.conv.in[dim], n->conv.in[dim]);
        assert_int_equal(back.conv.kernel[dim], n->conv.kernel[dim]);
        assert_int_equal(back.conv.stride[dim], n->conv.stride[dim]);
        assert_int_equal(back.conv.dilation[dim], n->conv.dilation[dim]);
        assert_int_equal(back.conv.pad_begin[dim], n->conv.pad_begin[dim]);
        assert_int_equal(back_out[dim], out[dim]);
    }

    assert_int_equal(notation_print(&n->conv, n->name, n->repeats, NULL, 0), length);
    assert_int_equal(notation_print(&n->conv, n->name, n->repeats, tiny, sizeof tiny), length);
    assert_memory_equal(tiny, text, 4);
    assert_int_equal(tiny[4], 0);
}

static void round_trips(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed; /* NULL: as text */
        bool transposed;
    } cases[] = {
        {"mb1ic64ih56oc64oh56kh3ph1", NULL, false},
        {"ic64ih56oc64kh3ph1", "mb2ic64ih56oc64oh56kh3ph1", false},
        {"mb1_ic64_ih56_oc64oh56_kh3sh1dh0ph1", "mb1ic64ih56oc64oh56kh3ph1", false},
        {"g32mb1_ic32oc32_ih112oh112kh3sh1dh0ph1_iw112ow112kw3sw1dw0pw1n\"name*3\"",
         "g32mb1ic32ih112oc32oh112kh3ph1n\"name*3\"", false},
        {"mb0ic1iw1oc1ow1kw1pw0", NULL, false},
        {"mb1ic768ih17iw17oc128oh17ow17kh1kw7ph0pw3", NULL, false},
        {"mb1ic3iw32oc4ow15kw3sw2pw0dw1nx", "mb1ic3iw32oc4ow15kw3sw2pw0dw1n\"x\"", false},
        {"mb1ic3id4ih5iw6oc4od4oh5ow6kd3kh3kw3pd1ph1pw1", NULL, false},
        {"mb1ic3id4oc4od4kd3pd1", NULL, false},
        {"mb1ic3id4ih4iw4oc4kd3kh3kw3", "mb1ic3id4oc4od2kd3pd0", false},
        {"mb1ic3id4ih4iw4oc4od2oh2ow4kd3kh3kw3pd0ph0pw1", NULL, false},
        {"mb1ic3ih224oc32oh112kh3sh2ph0", NULL, false},
        {"mb1ic3ih9iw7oc32oh4ow7kh3kw1sh2sw1ph0pw0", NULL, false},
        {"mb1ic8ih4oc4oh9kh4sh2ph1", NULL, true},
        {"mb1ic8ih4iw5oc4oh7ow11kh4kw4sh2sw2ph1pw1dh0dw0", "mb1ic8ih4iw5oc4oh7ow11kh4kw4sh2sw2ph1pw1", true},
        {"mb1ic1iw1oc1ow1kw1pw0n\"a*2*1\"", NULL, false},
        {"ic8ih4oc4oh20kh3sh2", "mb2ic8ih4oc4oh20kh3sh2ph0", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        const struct notation n = parse(cases[i].text, cases[i].transposed);
        char text[512];
        notation_print(&n.conv, n.name, n.repeats, text, sizeof text);
        assert_string_equal(text, cases[i].printed ? cases[i].printed : cases[i].text);
        check_round_trip(&n);
    }
    falt_conv conv = FALT_CONV_INIT; /* asymmetric padding from elsewhere */
    conv.in[0] = conv.in[1] = 10;
    conv.kernel[0] = conv.kernel[1] = 3;
    conv.pad_end[0] = 2;
    conv.pad_begin[1] = 2;
    check_round_trip(&(struct notation){.conv = conv, .repeats = 1});
    char text[64] = "x";
    conv.kernel[0] = 30;
    assert_int_equal(notation_print(&conv, NULL, 1, text, sizeof text), 0);
    assert_string_equal(text, "");
}

/* Every small geometry: what is parsed is what was asked for, or refused because no padding leads to it. */
static void geometries(void **state)
{
    (void)state;
    for (int bits = 0; bits < 2 * 6 * 3 * 3 * 3 * 4; ++bits) {
        int rest = bits;
        const bool transposed = rest % 2;
        const int in = (rest /= 2) % 6 + 1, k = (rest /= 6) % 3 + 1, s = (rest /= 3) % 3 + 1, d = (rest /= 3) % 3,
                  p = (rest /= 3) % 4 - 1;
        for (int out = 1; out < 20; ++out) {
            char text[128], error[256], pad[16] = "";
            if (p >= 0)
                snprintf(pad, sizeof pad, "pw%d", p);
            snprintf(text, sizeof text, "ic1oc1iw%dow%dkw%dsw%ddw%d%s", in, out, k, s, d, pad);
            struct notation n;
            int64_t result;
            if (notation_parse(text, transposed, &n, error, sizeof error)) {
                output_shape(&n.conv, &result);
                assert_int_equal(result, out);
                assert_true(p < 0 || n.conv.pad_begin[0] == p);
                check_round_trip(&n);
            } else {
                const int room = in + (p > 0 ? p : 0) - (k - 1) * (d + 1) - 1;
                assert_false(transposed);
                assert_true(room >= 0 && room / s + 1 > out);
            }
        }
    }
}

static const char *write_file(const char *content, size_t size)
{
    static char path[] = "test_notation.batch";
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return path;
}

static void batch_file(void **state)
{
    (void)state;
    struct notation *problems;
    size_t count;
    char error[256] = "",
         text[4096] = "# a comment\n\n  \t\nmb1ic3ih8oc4kh3n\"one # not two*2\"  # a comment\r\n\tic1iw5oc1kw3\n";
    char *end = text + strlen(text);
    memset(end, '_', 2000);             /* no limit to a line */
    strcpy(end + 2000, "ic5ih5oc5kh5"); /* nor need it end */
    const char *path = write_file(text, strlen(text));
    if (!notation_read_file(path, false, &problems, &count, error, sizeof error))
        fail_msg("%s", error);
    assert_int_equal(count, 3);
    assert_string_equal(problems[0].name, "one # not two");
    assert_int_equal(problems[0].repeats, 2);
    assert_int_equal(problems[1].conv.spatial_dims, 1);
    assert_int_equal(problems[2].conv.in_channels, 5);
    free(problems);

    char many[100 * 13 + 1] = "";
    for (int i = 0; i < 100; ++i)
        memcpy(many + 13 * i, "ic1iw5oc1kw3\n", 13);
    assert_true(notation_read_file(write_file(many, 1300), true, &problems, &count, error, sizeof error));
    assert_int_equal(count, 100);
    assert_int_equal(problems[99].conv.transposed, 1);
    free(problems);

    static const struct {
        const char *content, *error;
        size_t size; /* 0: strlen */
    } cases[] = {
        {"ic3ih8oc4kh3\n#\n ic3ih8zz\n", "test_notation.batch:3: unknown field 'zz' at column 8", 0},
        {"--mb=2 ic3ih8oc4kh3\n", "test_notation.batch:1: options ('--mb') belong on the command line, not into a batch file",
         0},
        {"# nothing\n\n", "test_notation.batch: no problems in this file", 0},
        {"", "test_notation.batch: no problems in this file", 0},
        {"ic3ih8\0oc4kh3\n", "test_notation.batch:1: a byte of value 0: not a text file", 14},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        path = write_file(cases[i].content, cases[i].size ? cases[i].size : strlen(cases[i].content));
        assert_false(notation_read_file(path, false, &problems, &count, error, sizeof error));
        assert_string_equal(error, cases[i].error);
        assert_null(problems);
        assert_int_equal(count, 0);
    }
    assert_int_equal(remove(path), 0);
    assert_false(notation_read_file(path, false, &problems, &count, error, sizeof error));
    assert_string_equal(error, "test_notation.batch: No such file or directory");
    assert_false(notation_read_file(".", false, &problems, &count, error, sizeof error));
    assert_string_equal(error, ".: Is a directory");
}

static void net_layers(void **state)
{
    (void)state;
    assert_null(net_find("resnet"));
    assert_null(net_find(""));
    for (size_t i = 0; i < net_count; ++i) {
        const struct net *net = &nets[i];
        assert_ptr_equal(net_find(net->name), net);
        for (size_t j = 0; j < net->layer_count; ++j) {
            const struct net_layer *layer = &net->layers[j];
            const struct notation n = parse(layer->problem, layer->transposed);
            assert_int_equal(n.conv.batch, 1);
            assert_true(n.name[0] != '\0');
            check_round_trip(&n);
            char text[256];
            notation_print(&n.conv, n.name, n.repeats, text, sizeof text);
            assert_string_equal(text, layer->problem); /* the tables are canonical */
            for (size_t k = 0; k < j; ++k) {           /* ... and each shape is there once, under one name */
                const struct notation other = parse(net->layers[k].problem, net->layers[k].transposed);
                assert_true(memcmp(&other.conv, &n.conv, GEOMETRY) != 0);
                assert_string_not_equal(other.name, n.name);
            }
        }
    }
}

/* Layers and multiply-adds of the whole network, fully connected layers added, against published numbers. */
static void net_totals(void **state)
{
    (void)state;
    static const struct {
        const char *net;
        int64_t layers;
        double connected, published, tolerance; /* multiply-adds in 1e9 */
    } cases[] = {
        /* torchvision's GFLOPS of each model's weights */
        {"resnet50", 53, 2048e-6, 4.09, 0.005},
        {"vgg16", 13, (25088 * 4096 + 4096 * 4096 + 4096 * 1000) * 1e-9, 15.47, 0.001},
        {"mobilenet_v2", 52, 1280e-6, 0.301, 0.005},
        {"googlenet_v3", 94, 2048e-6, 5.71, 0.005},
        {"resnext50", 53, 2048e-6, 4.23, 0.005},
        {"mobilenet_v1", 27, 1024e-6, 0.569, 0.002}, /* table 4 of the paper: 569 million */
        {"i3d", 58, 0, 107.9, 0.04},          /* Xie et al., "Rethinking spatiotemporal feature learning", ECCV 2018, table 2 */
        {"unet", 23, 0, 150.428424448, 1e-9}, /* 23 layers by the paper; it gives no count of operations */
        {"wavenet", 203, 0, 16e-6 * (2 * 256 * 32 + 50 * (5 * 32 * 32 + 32 * 512) + 512 * 512 + 512 * 256), 1e-9},
        {"dcgan", 5, 0, 16e-9 * (100 * 512 + 16 * 512 * 256 + 64 * 256 * 128 + 256 * 128 * 64 + 1024 * 64 * 3), 1e-9},
    };
    assert_int_equal(net_count, sizeof cases / sizeof cases[0]);
    for (size_t i = 0; i < net_count; ++i) {
        const struct net *net = net_find(cases[i].net);
        assert_non_null(net);
        int64_t layers = 0;
        double multiply_adds = 0;
        for (size_t j = 0; j < net->layer_count; ++j) {
            const struct notation n = parse(net->layers[j].problem, net->layers[j].transposed);
            falt_sizes sizes;
            if (falt_conv_sizes(&n.conv, &sizes) != FALT_OK)
                fail_msg("%s: %s", net->layers[j].problem, falt_last_error());
            layers += n.repeats;
            multiply_adds += sizes.multiply_adds * (double)n.repeats;
        }
        assert_int_equal(layers, cases[i].layers);
        const double total = multiply_adds * 1e-9 + cases[i].connected;
        if (fabs(total / cases[i].published - 1) > cases[i].tolerance)
            fail_msg("%s: %g GMAC, published %g", cases[i].net, total, cases[i].published);
    }
}

/* Winograd's blocks are no larger than the tensors justify, whatever the threads. */
static void net_workspaces(void **state)
{
    (void)state;
    static const int32_t threads[] = {1, 2, 4};
    int plans = 0;
    for (size_t i = 0; i < net_count; i++)
        for (size_t j = 0; j < nets[i].layer_count; j++)
            for (int k = 0; k < 6; k++) {
                falt_conv conv = parse(nets[i].layers[j].problem, nets[i].layers[j].transposed).conv;
                conv.layout = k % 2 ? FALT_NHWC : FALT_NCHW;
                falt_options options = FALT_OPTIONS_INIT;
                options.algorithm = FALT_ALGO_WINOGRAD;
                options.threads = threads[k / 2];
                falt_plan *plan = NULL;
                falt_sizes sizes;
                assert_int_equal(falt_conv_sizes(&conv, &sizes), FALT_OK);
                if (falt_plan_create(&plan, &conv, FALT_FORWARD, &options) != FALT_OK)
                    continue;
                const double tensors = (double)(sizes.src + sizes.weights + sizes.dst) * sizeof(float);
                const double ratio = (double)falt_plan_workspace_size(plan, 1) / tensors;
                if (ratio > 2.0)
                    fail_msg("%s, %s, %d threads: the workspace is %.2f times the tensors", nets[i].layers[j].problem,
                             k % 2 ? "nhwc" : "nchw", (int)options.threads, ratio);
                plans++;
                falt_plan_destroy(plan);
            }
    assert_true(plans > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),     cmocka_unit_test(defaults),       cmocka_unit_test(padding),
        cmocka_unit_test(names),      cmocka_unit_test(errors),         cmocka_unit_test(round_trips),
        cmocka_unit_test(geometries), cmocka_unit_test(batch_file),     cmocka_unit_test(net_layers),
        cmocka_unit_test(net_totals), cmocka_unit_test(net_workspaces),
    };
    return cmocka_run_group_tests_name("notation", tests, NULL, NULL);
}
