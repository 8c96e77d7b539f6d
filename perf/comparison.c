#include "comparison.h"

#include <math.h>

struct comparison compare(const float *result, const float *oracle, int64_t count)
{
    struct comparison c = {0, 0, 0};
    double errors = 0, values = 0;
    for (int64_t i = 0; i < count; i++) {
        const double expected = oracle[i], error = fabs(result[i] - expected);
        if (!(error <= c.max_error))
            c.max_error = error;
        c.largest = fmax(c.largest, fabs(expected));
        errors += error * error;
        values += expected * expected;
    }
    if (isnan(errors))
        c.max_error = NAN;
    c.l2_error = errors == 0 || values == 0 ? 0 : sqrt(errors / values); /* there is no error relative to nothing */
    return c;
}
