/* The public headers alone, as C99, and the version of the library it is linked with. */
#include "faltung_operator.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

int main(void)
{
    const char *expected = TEXT(FALT_VERSION_MAJOR) "." TEXT(FALT_VERSION_MINOR) "." TEXT(FALT_VERSION_PATCH);
    const char *actual = falt_version();
    falt_conv conv = FALT_CONV_INIT;
    falt_options options = FALT_OPTIONS_INIT;
    falt_sizes sizes;
    falt_norm norm = FALT_NORM_INIT;
    while (*expected != 0 && *expected == *actual) {
        expected++;
        actual++;
    }
    return !(*expected == *actual && options.workspace_limit == -1 && falt_conv_sizes(&conv, &sizes) == FALT_OK &&
             sizes.out[0] == 1 && sizes.dst == 1 && norm.certify == 1);
}
