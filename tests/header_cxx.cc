/* The public headers alone, as C++11. */
#include "faltung_operator.h"

int main()
{
    falt_conv conv = FALT_CONV_INIT;
    falt_options options = FALT_OPTIONS_INIT;
    falt_plan *plan = nullptr;
    falt_norm norm = FALT_NORM_INIT;
    const bool made = falt_plan_create(&plan, &conv, FALT_FORWARD, &options) == FALT_OK;
    falt_plan_destroy(plan);
    return !(made && norm.certify == 1 && falt_isa_name(FALT_ISA_AUTO) != nullptr);
}
