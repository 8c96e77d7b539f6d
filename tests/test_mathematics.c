/* The formulas of docs/mathematics.md, evaluated literally, against the functions that the page says compute them. */
#include "support.h"

#include <math.h>
#include <string.h>
#include "faltung_operator.h"

/* One 2-D layer with everything uneven: 2 images, 3 -> 2 channels, NCHW and OIHW so that indices read as in the formulas. */
enum { N = 2, I = 3, O = 2, H = 7, V = 9, R = 3, C = 2, SH = 2, SV = 1, DH = 1, DV = 2, PH = 1, PV = 2 };
enum { Q = (H + 2 * PH - DH * (R - 1) - 1) / SH + 1, P = (V + 2 * PV - DV * (C - 1) - 1) / SV + 1 }; /* (2) */

static float x[N][I][H][V], w[O][I][R][C], y[N][O][Q][P], from_y[N][O][Q][P];

static falt_conv layer(void)
{
    falt_conv conv = FALT_CONV_INIT;
    conv.layout = FALT_NCHW;
    conv.batch = N;
    conv.in_channels = I;
    conv.out_channels = O;
    conv.in[0] = H;
    conv.in[1] = V;
    conv.kernel[0] = R;
    conv.kernel[1] = C;
    conv.stride[0] = SH;
    conv.stride[1] = SV;
    conv.dilation[0] = DH;
    conv.dilation[1] = DV;
    conv.pad_begin[0] = conv.pad_end[0] = PH;
    conv.pad_begin[1] = conv.pad_end[1] = PV;
    return conv;
}

static void fill(void)
{
    struct random random = random_stream(1);
    fill_integer(&random, &x[0][0][0][0], N * I * H * V);
    fill_integer(&random, &w[0][0][0][0], O * I * R * C);
    fill_integer(&random, &from_y[0][0][0][0], N * O * Q * P);
}

static void run(falt_pass pass, const falt_conv *conv, const falt_tensors *tensors)
{
    falt_options options = FALT_OPTIONS_INIT;
    options.accuracy = FALT_ACCURACY_AS_DIRECT; /* whole numbers: exact */
    falt_plan *plan;
    assert_int_equal(falt_plan_create(&plan, conv, pass, &options), FALT_OK);
    assert_int_equal(falt_execute(plan, tensors), FALT_OK);
    falt_plan_destroy(plan);
}

static double pixel(int n, int i, int h, int v)
{
    return h >= 0 && h < H && v >= 0 && v < V ? (double)x[n][i][h][v] : 0.0;
}

/* (1), (2) and (8) */
static void test_forward(void **state)
{
    (void)state;
    fill();
    const falt_conv conv = layer();
    int64_t out[2];
    assert_int_equal(falt_output_shape(&conv, out), FALT_OK);
    assert_int_equal(out[0], Q);
    assert_int_equal(out[1], P);
    run(FALT_FORWARD, &conv, &(falt_tensors){.src = &x[0][0][0][0], .weights = &w[0][0][0][0], .dst = &y[0][0][0][0]});
    for (int n = 0; n < N; n++)
        for (int o = 0; o < O; o++)
            for (int q = 0; q < Q; q++)
                for (int p = 0; p < P; p++) {
                    double sum = 0.0, by_taps = 0.0;
                    for (int i = 0; i < I; i++)
                        for (int t = 0; t < R; t++)
                            for (int u = 0; u < C; u++)
                                sum += pixel(n, i, q * SH + t * DH - PH, p * SV + u * DV - PV) * (double)w[o][i][t][u];
                    for (int t = 0; t < R * C; t++) /* (8), a product of a row and a column for each tap */
                        for (int i = 0; i < I; i++)
                            by_taps +=
                                pixel(n, i, q * SH + t / C * DH - PH, p * SV + t % C * DV - PV) * (double)w[o][i][t / C][t % C];
                    assert_true((double)y[n][o][q][p] == sum && by_taps == sum);
                }
}

/* (5), (6), and that <y, y'> = <x, x'> = <w, w'> */
static void test_gradients(void **state)
{
    (void)state;
    fill();
    const falt_conv conv = layer();
    static float to_x[N][I][H][V], to_w[O][I][R][C], to_bias[O];
    run(FALT_FORWARD, &conv, &(falt_tensors){.src = &x[0][0][0][0], .weights = &w[0][0][0][0], .dst = &y[0][0][0][0]});
    run(FALT_BACKWARD_DATA, &conv,
        &(falt_tensors){.diff_dst = &from_y[0][0][0][0], .weights = &w[0][0][0][0], .diff_src = &to_x[0][0][0][0]});
    run(FALT_BACKWARD_WEIGHTS, &conv,
        &(falt_tensors){
            .src = &x[0][0][0][0], .diff_dst = &from_y[0][0][0][0], .diff_weights = &to_w[0][0][0][0], .diff_bias = to_bias});
    double by_x = 0.0, by_w = 0.0, by_y = 0.0;
    for (int n = 0; n < N; n++)
        for (int i = 0; i < I; i++)
            for (int h = 0; h < H; h++)
                for (int v = 0; v < V; v++) {
                    double sum = 0.0;
                    for (int o = 0; o < O; o++)
                        for (int q = 0; q < Q; q++)
                            for (int p = 0; p < P; p++)
                                for (int t = 0; t < R; t++)
                                    for (int u = 0; u < C; u++)
                                        if (q * SH + t * DH - PH == h && p * SV + u * DV - PV == v)
                                            sum += (double)from_y[n][o][q][p] * (double)w[o][i][t][u];
                    assert_true((double)to_x[n][i][h][v] == sum);
                    by_x += sum * (double)x[n][i][h][v];
                }
    for (int o = 0; o < O; o++) {
        double bias = 0.0;
        for (int n = 0; n < N; n++)
            for (int q = 0; q < Q; q++)
                for (int p = 0; p < P; p++) {
                    bias += (double)from_y[n][o][q][p];
                    by_y += (double)from_y[n][o][q][p] * (double)y[n][o][q][p];
                }
        assert_true((double)to_bias[o] == bias);
        for (int i = 0; i < I; i++)
            for (int t = 0; t < R; t++)
                for (int u = 0; u < C; u++) {
                    double sum = 0.0;
                    for (int n = 0; n < N; n++)
                        for (int q = 0; q < Q; q++)
                            for (int p = 0; p < P; p++)
                                sum += pixel(n, i, q * SH + t * DH - PH, p * SV + u * DV - PV) * (double)from_y[n][o][q][p];
                    assert_true((double)to_w[o][i][t][u] == sum);
                    by_w += sum * (double)w[o][i][t][u];
                }
    }
    assert_true(by_x == by_y && by_w == by_y);
}

/* (7): the transposed convolution gives back the size with the remainder of (2) as output padding, and is A^T. */
static void test_transposed(void **state)
{
    (void)state;
    fill();
    const falt_conv conv = layer();
    falt_conv back = conv;
    back.transposed = 1;
    back.in_channels = O;
    back.out_channels = I;
    back.in[0] = Q;
    back.in[1] = P;
    back.output_padding[0] = (H + 2 * PH - DH * (R - 1) - 1) % SH;
    back.output_padding[1] = (V + 2 * PV - DV * (C - 1) - 1) % SV;
    int64_t out[2];
    assert_int_equal(falt_output_shape(&back, out), FALT_OK);
    assert_int_equal(out[0], H);
    assert_int_equal(out[1], V);
    static float a[N][I][H][V], b[N][I][H][V], c[N][I][H][V];
    run(FALT_BACKWARD_DATA, &conv,
        &(falt_tensors){.diff_dst = &from_y[0][0][0][0], .weights = &w[0][0][0][0], .diff_src = &a[0][0][0][0]});
    run(FALT_FORWARD, &back, &(falt_tensors){.src = &from_y[0][0][0][0], .weights = &w[0][0][0][0], .dst = &b[0][0][0][0]});
    falt_options options = FALT_OPTIONS_INIT;
    options.accuracy = FALT_ACCURACY_AS_DIRECT;
    falt_operator *op;
    assert_int_equal(falt_operator_create(&op, &conv, FALT_BOUNDARY_ZERO, &w[0][0][0][0], &options), FALT_OK);
    assert_int_equal(falt_operator_apply_transposed(op, &from_y[0][0][0][0], &c[0][0][0][0], NULL, 0), FALT_OK);
    falt_operator_destroy(op);
    check_same(&b[0][0][0][0], &a[0][0][0][0], N * I * H * V, "transposed convolution and backward data");
    check_same(&c[0][0][0][0], &a[0][0][0][0], N * I * H * V, "A^T and backward data");

    /* Zeros inserted, padded, and the rotated kernel at stride 1. */
    enum { TALL = (Q - 1) * SH + 1, WIDE = (P - 1) * SV + 1, TOP = DH * (R - 1) - PH, LEFT = DV * (C - 1) - PV };
    for (int n = 0; n < N; n++)
        for (int i = 0; i < I; i++)
            for (int h = 0; h < H; h++)
                for (int v = 0; v < V; v++) {
                    double sum = 0.0;
                    for (int o = 0; o < O; o++)
                        for (int t = 0; t < R; t++)
                            for (int u = 0; u < C; u++) {
                                const int row = h + t * DH - TOP, column = v + u * DV - LEFT;
                                if (row >= 0 && row < TALL && column >= 0 && column < WIDE && row % SH == 0 && column % SV == 0)
                                    sum += (double)from_y[n][o][row / SH][column / SV] * (double)w[o][i][R - 1 - t][C - 1 - u];
                            }
                    assert_true((double)b[n][i][h][v] == sum);
                }
}

/* (9) is (1), and (10') is (6), for a tile in 2-D. */
static void test_winograd(void **state)
{
    (void)state;
    static const double bt[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
    static const double g[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
    static const double at[2][4] = {{1, 1, 1, 0}, {0, 1, -1, -1}};
    struct random random = random_stream(2);
    double image[4][4], kernel[3][3], u[4][4] = {{0}}, v[4][4] = {{0}};
    float tile[16], taps[9], result[4];
    fill_integer(&random, tile, 16);
    fill_integer(&random, taps, 9);
    for (int i = 0; i < 16; i++)
        image[i / 4][i % 4] = (double)tile[i];
    for (int i = 0; i < 9; i++)
        kernel[i / 3][i % 3] = (double)taps[i];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            for (int k = 0; k < 4; k++)
                for (int l = 0; l < 4; l++)
                    v[i][j] += bt[i][k] * image[k][l] * bt[j][l];
            for (int k = 0; k < 3; k++)
                for (int l = 0; l < 3; l++)
                    u[i][j] += g[i][k] * kernel[k][l] * g[j][l];
        }
    falt_conv conv = FALT_CONV_INIT;
    conv.in[0] = conv.in[1] = 4;
    conv.kernel[0] = conv.kernel[1] = 3;
    run(FALT_FORWARD, &conv, &(falt_tensors){.src = tile, .weights = taps, .dst = result});
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            double sum = 0.0;
            for (int k = 0; k < 4; k++)
                for (int l = 0; l < 4; l++)
                    sum += at[i][k] * u[k][l] * v[k][l] * at[j][l];
            assert_true((double)result[2 * i + j] == sum);
        }

    float back[4], gradient[9];
    double points[4][4] = {{0}};
    fill_integer(&random, back, 4);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            for (int k = 0; k < 2; k++)
                for (int l = 0; l < 2; l++)
                    points[i][j] += at[k][i] * (double)back[2 * k + l] * at[l][j];
    run(FALT_BACKWARD_WEIGHTS, &conv, &(falt_tensors){.src = tile, .diff_dst = back, .diff_weights = gradient});
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double sum = 0.0;
            for (int k = 0; k < 4; k++)
                for (int l = 0; l < 4; l++)
                    sum += g[k][i] * points[k][l] * v[k][l] * g[l][j];
            assert_true((double)gradient[3 * i + j] == sum);
        }
}

/* (10'') in 1-D. */
static void test_residues(void **state)
{
    (void)state;
    enum { LONG = 29, TAPS = 7, PAD = 2 };
    struct random random = random_stream(4);
    float line[LONG], taps[TAPS], result[LONG];
    fill_integer(&random, line, LONG);
    fill_integer(&random, taps, TAPS);
    falt_conv conv = FALT_CONV_INIT;
    conv.spatial_dims = 1;
    conv.in[0] = LONG;
    conv.kernel[0] = TAPS;
    conv.pad_begin[0] = conv.pad_end[0] = PAD;
    for (int s = 2; s <= TAPS; s++) {
        conv.stride[0] = s;
        run(FALT_FORWARD, &conv, &(falt_tensors){.src = line, .weights = taps, .dst = result});
        for (int q = 0; q <= (LONG + 2 * PAD - TAPS) / s; q++) {
            double sum = 0.0;
            for (int rho = 0; rho < s; rho++)
                for (int k = 0; rho + s * k < TAPS; k++) {
                    const int at = s * (q + k) + rho - PAD;
                    sum += at >= 0 && at < LONG ? (double)line[at] * (double)taps[rho + s * k] : 0.0;
                }
            assert_true((double)result[q] == sum);
        }
    }
}

/* (11): one channel, where a frequency's matrix is a number. */
static void test_fourier(void **state)
{
    (void)state;
    enum { SIZE = 12 };
    struct random random = random_stream(3);
    float taps[5];
    fill_uniform(&random, taps, 5);
    falt_conv conv = FALT_CONV_INIT;
    conv.spatial_dims = 1;
    conv.in[0] = SIZE;
    conv.kernel[0] = 5;
    conv.pad_begin[0] = conv.pad_end[0] = 2;
    double most = 0.0;
    for (int f = 0; f < SIZE; f++) {
        double re = 0.0, im = 0.0;
        for (int t = 0; t < 5; t++) {
            re += (double)taps[t] * cos(2.0 * 3.14159265358979323846 * f * t / SIZE);
            im += (double)taps[t] * sin(2.0 * 3.14159265358979323846 * f * t / SIZE);
        }
        most = fmax(most, sqrt(re * re + im * im));
    }
    falt_operator *op;
    assert_int_equal(falt_operator_create(&op, &conv, FALT_BOUNDARY_CIRCULAR, taps, NULL), FALT_OK);
    falt_norm norm = FALT_NORM_INIT;
    assert_int_equal(falt_operator_norm(op, &norm), FALT_OK);
    falt_operator_destroy(op);
    assert_true(norm.exact && fabs(norm.estimate - most) <= 1e-12 * most);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),  cmocka_unit_test(test_gradients), cmocka_unit_test(test_transposed),
        cmocka_unit_test(test_winograd), cmocka_unit_test(test_residues),  cmocka_unit_test(test_fourier),
    };
    return cmocka_run_group_tests_name("mathematics", tests, NULL, NULL);
}
