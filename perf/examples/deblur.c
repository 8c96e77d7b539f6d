/*
 * deblur.c - an example of the operator: blurs a picture, y = A x, or makes a blurred one sharp, x = argmin ||A x - y||_2.
 *
 *     faltung_deblur --blur [OPTION]... SHARP BLURRED         A is a Gaussian or a motion blur
 *     faltung_deblur [OPTION]... BLURRED SHARP                with the same options
 *
 * Pictures are PGM (P5) or, with libpng, PNG; grey. The least-squares problem is solved by the conjugate gradients of the
 * normal equations, CGLS (Hestenes, Stiefel, 1952; Hansen, "Discrete Inverse Problems", 2010, ch. 6), which needs A and A^T and
 * nothing else. Stopping early regularises: first come back the waves that the blur has damped least, at last the noise.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef HAVE_PNG
#include <png.h>
#endif
#include "faltung_operator.h"

enum { LARGEST_SIDE = 1 << 15 };

/* --------------------------------------------------------------------------------------------------------------- pictures */

struct picture {
    int width, height;
    float *pixels; /* 0 black, 1 white */
};

static bool complain(const char *path, const char *reason)
{
    fprintf(stderr, "faltung_deblur: %s: %s\n", path, reason);
    return false;
}

#ifdef HAVE_PNG
static bool ends_with(const char *text, const char *end)
{
    const size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}
#endif

/* A number of a PGM header, behind white space and comments; -1 if there is none. */
static int header_number(FILE *file)
{
    int c = getc(file);
    while (isspace(c) || c == '#') {
        while (c == '#' && c != EOF)
            for (c = getc(file); c != '\n' && c != EOF;)
                c = getc(file);
        c = getc(file);
    }
    int number = -1;
    for (; isdigit(c) && number < 100000; c = getc(file))
        number = (number < 0 ? 0 : 10 * number) + c - '0';
    return isspace(c) ? number : -1;
}

static bool allocate(struct picture *p, const char *path)
{
    if (p->width < 1 || p->height < 1 || p->width > LARGEST_SIDE || p->height > LARGEST_SIDE)
        return complain(path, "not a picture of 1 to 32768 pixels in each direction");
    p->pixels = calloc((size_t)p->width * (size_t)p->height, sizeof *p->pixels);
    return p->pixels != NULL || complain(path, "out of memory");
}

static bool read_pgm(struct picture *p, const char *path, FILE *file)
{
    if (getc(file) != 'P' || getc(file) != '5')
        return complain(path, "not a binary PGM (P5)");
    p->width = header_number(file);
    p->height = header_number(file);
    const int white = header_number(file);
    if (white < 1 || white > 65535)
        return complain(path, "not a binary PGM (P5)");
    if (!allocate(p, path))
        return false;
    for (size_t i = 0; i < (size_t)p->width * (size_t)p->height; i++) {
        int value = getc(file);
        if (white > 255 && value != EOF) {
            const int low = getc(file);
            value = low == EOF ? EOF : 256 * value + low;
        }
        if (value == EOF)
            return complain(path, "the picture is cut off");
        p->pixels[i] = (float)value / (float)white;
    }
    return true;
}

static unsigned char *to_bytes(const struct picture *p)
{
    const size_t count = (size_t)p->width * (size_t)p->height;
    unsigned char *bytes = malloc(count);
    for (size_t i = 0; bytes != NULL && i < count; i++)
        bytes[i] = (unsigned char)(fminf(fmaxf(p->pixels[i], 0.0f), 1.0f) * 255.0f + 0.5f);
    return bytes;
}

static bool read_picture(struct picture *p, const char *path)
{
#ifdef HAVE_PNG
    if (ends_with(path, ".png")) {
        png_image image = {.version = PNG_IMAGE_VERSION};
        if (!png_image_begin_read_from_file(&image, path))
            return complain(path, image.message);
        image.format = PNG_FORMAT_GRAY;
        p->width = (int)image.width;
        p->height = (int)image.height;
        unsigned char *bytes = allocate(p, path) ? malloc(PNG_IMAGE_SIZE(image)) : NULL;
        const bool good = bytes != NULL && png_image_finish_read(&image, NULL, bytes, 0, NULL);
        for (size_t i = 0; good && i < (size_t)p->width * (size_t)p->height; i++)
            p->pixels[i] = (float)bytes[i] / 255.0f;
        png_image_free(&image);
        free(bytes);
        return good || complain(path, image.message[0] != 0 ? image.message : "out of memory");
    }
#endif
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return complain(path, strerror(errno));
    const bool good = read_pgm(p, path, file);
    fclose(file);
    return good;
}

static bool write_picture(const struct picture *p, const char *path)
{
    unsigned char *bytes = to_bytes(p);
    if (bytes == NULL)
        return complain(path, "out of memory");
    bool good;
#ifdef HAVE_PNG
    if (ends_with(path, ".png")) {
        png_image image = {.version = PNG_IMAGE_VERSION,
                           .width = (png_uint_32)p->width,
                           .height = (png_uint_32)p->height,
                           .format = PNG_FORMAT_GRAY};
        good = png_image_write_to_file(&image, path, 0, bytes, 0, NULL) != 0;
        free(bytes);
        return good || complain(path, image.message);
    }
#endif
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        free(bytes);
        return complain(path, strerror(errno));
    }
    const size_t count = (size_t)p->width * (size_t)p->height;
    good = fprintf(file, "P5\n%d %d\n255\n", p->width, p->height) > 0 && fwrite(bytes, 1, count, file) == count;
    good = fclose(file) == 0 && good;
    free(bytes);
    return good || complain(path, "cannot be written");
}

/* ------------------------------------------------------------------------------------------------------------------- blur */

enum { MOST_TAPS = 65 };

/* gaussian:SIGMA is as wide as 3 sigma; motion:N is a horizontal line of N pixels. */
static bool make_kernel(const char *text, falt_conv *conv, float *w)
{
    char *end;
    const char *number = strchr(text, ':');
    const double value = number != NULL ? strtod(number + 1, &end) : 0.0;
    if (number == NULL || end == number + 1 || *end != 0 || !(value > 0.0))
        return complain(text, "not a blur: gaussian:SIGMA or motion:N");
    const bool gaussian = strncmp(text, "gaussian:", 9) == 0;
    if (!gaussian && strncmp(text, "motion:", 7) != 0)
        return complain(text, "not a blur: gaussian:SIGMA or motion:N");
    if (value > (gaussian ? 10.0 : MOST_TAPS))
        return complain(text, "too wide");
    const int radius = gaussian ? (int)ceil(3.0 * value) : 0, taps = gaussian ? 2 * radius + 1 : (int)value;
    const int rows = gaussian ? taps : 1;
    double sum = 0.0;
    for (int i = 0; i < rows * taps; i++) {
        const int y = i / taps - radius, x = i % taps - radius;
        w[i] = gaussian ? (float)exp(-0.5 * (x * x + y * y) / (value * value)) : 1.0f;
        sum += (double)w[i];
    }
    for (int i = 0; i < rows * taps; i++)
        w[i] = (float)((double)w[i] / sum);
    conv->kernel[0] = rows;
    conv->kernel[1] = taps;
    for (int d = 0; d < 2; d++) {
        conv->pad_begin[d] = (conv->kernel[d] - 1) / 2;
        conv->pad_end[d] = conv->kernel[d] / 2;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------------------- CGLS */

static double squared(const float *a, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)a[i];
    return sum;
}

/* x starts as 0; returns false with the library's reason. n pixels on both sides. */
static bool cgls(const falt_operator *op, const float *y, float *x, size_t n, int iterations, bool quiet)
{
    float *memory = calloc(4 * n, sizeof *memory);
    if (memory == NULL)
        return complain("solving", "out of memory");
    float *r = memory, *s = r + n, *p = s + n, *q = p + n;
    memset(x, 0, n * sizeof *x);
    memcpy(r, y, n * sizeof *r); /* r = y - A x */
    falt_status status = falt_operator_apply_transposed(op, r, s, NULL, 0);
    memcpy(p, s, n * sizeof *p);
    double gamma = squared(s, n);
    for (int k = 0; k < iterations && status == FALT_OK && gamma > 0.0; k++) {
        status = falt_operator_apply(op, p, q, NULL, 0);
        const double curvature = squared(q, n);
        if (status != FALT_OK || !(curvature > 0.0))
            break;
        const float alpha = (float)(gamma / curvature);
        for (size_t i = 0; i < n; i++) {
            x[i] += alpha * p[i];
            r[i] -= alpha * q[i];
        }
        status = falt_operator_apply_transposed(op, r, s, NULL, 0);
        const double next = squared(s, n);
        const float beta = (float)(next / gamma);
        for (size_t i = 0; i < n; i++)
            p[i] = s[i] + beta * p[i];
        gamma = next;
        if (!quiet && (k + 1) % 10 == 0)
            printf("%4d  ||A x - y|| %.6g  ||A^T (A x - y)|| %.6g\n", k + 1, sqrt(squared(r, n)), sqrt(next));
    }
    free(memory);
    return status == FALT_OK || complain("solving", falt_last_error());
}

/* Peak signal to noise ratio in decibels, white being 1. */
static double psnr(const struct picture *a, const struct picture *b)
{
    double sum = 0.0;
    const size_t n = (size_t)a->width * (size_t)a->height;
    for (size_t i = 0; i < n; i++)
        sum += ((double)a->pixels[i] - (double)b->pixels[i]) * ((double)a->pixels[i] - (double)b->pixels[i]);
    return 10.0 * log10((double)n / sum);
}

/* ------------------------------------------------------------------------------------------------------------ command line */

static int usage(FILE *file)
{
    fputs("usage: faltung_deblur [OPTION]... IN OUT\n"
          "  --blur             blur IN instead of deblurring it\n"
          "  --kernel KERNEL    gaussian:SIGMA (default gaussian:1.5) or motion:N\n"
          "  --boundary WHAT    circular (default) or zero: what lies beyond the border\n"
          "  --iterations N     of CGLS (default 60); fewer for noisier pictures\n"
          "  --compare PICTURE  print how near OUT is to it, and IN\n"
          "  --quiet\n"
          "Pictures are binary PGM"
#ifdef HAVE_PNG
          " or PNG"
#endif
          ".\n",
          file);
    return file == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"blur", no_argument, NULL, 'b'},           {"kernel", required_argument, NULL, 'k'},
        {"boundary", required_argument, NULL, 'o'}, {"iterations", required_argument, NULL, 'i'},
        {"compare", required_argument, NULL, 'c'},  {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    bool blur = false, quiet = false;
    falt_boundary boundary = FALT_BOUNDARY_CIRCULAR;
    const char *kernel = "gaussian:1.5", *compare = NULL;
    int iterations = 60;
    for (int code; (code = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (code) {
        case 'b':
            blur = true;
            break;
        case 'k':
            kernel = optarg;
            break;
        case 'o':
            if (strcmp(optarg, "zero") != 0 && strcmp(optarg, "circular") != 0)
                return usage(stderr);
            boundary = optarg[0] == 'z' ? FALT_BOUNDARY_ZERO : FALT_BOUNDARY_CIRCULAR;
            break;
        case 'i':
            iterations = atoi(optarg);
            break;
        case 'c':
            compare = optarg;
            break;
        case 'q':
            quiet = true;
            break;
        default:
            return usage(code == 'h' ? stdout : stderr);
        }
    }
    if (argc - optind != 2 || iterations < 0)
        return usage(stderr);

    falt_conv conv = FALT_CONV_INIT;
    float w[MOST_TAPS * MOST_TAPS];
    struct picture in = {0}, out = {0}, other = {0};
    falt_operator *op = NULL;
    bool good = make_kernel(kernel, &conv, w) && read_picture(&in, argv[optind]);
    out.width = in.width;
    out.height = in.height;
    good = good && allocate(&out, argv[optind + 1]) && (compare == NULL || read_picture(&other, compare));
    if (good && compare != NULL && (other.width != in.width || other.height != in.height))
        good = complain(compare, "has another size");
    if (good) {
        conv.in[0] = in.height;
        conv.in[1] = in.width;
        good = falt_operator_create(&op, &conv, boundary, w, NULL) == FALT_OK || complain(kernel, falt_last_error());
    }
    const size_t n = (size_t)in.width * (size_t)in.height;
    if (good && blur)
        good = falt_operator_apply(op, in.pixels, out.pixels, NULL, 0) == FALT_OK || complain("blurring", falt_last_error());
    else if (good)
        good = cgls(op, in.pixels, out.pixels, n, iterations, quiet);
    good = good && write_picture(&out, argv[optind + 1]);
    if (good && compare != NULL)
        printf("PSNR %.2f dB before, %.2f dB after\n", psnr(&in, &other), psnr(&out, &other));
    falt_operator_destroy(op);
    free(in.pixels);
    free(out.pixels);
    free(other.pixels);
    return !good;
}
