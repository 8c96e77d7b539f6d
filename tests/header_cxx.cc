/* The public header alone, as C++11. */
#include "faltung.h"

int main()
{
    falt_conv conv = FALT_CONV_INIT;
    falt_options options = FALT_OPTIONS_INIT;
    falt_plan *plan = nullptr;
    const bool made = falt_plan_create(&plan, &conv, FALT_FORWARD, &options) == FALT_OK;
    falt_plan_destroy(plan);
    return !(made && falt_isa_name(FALT_ISA_AUTO) != nullptr);
}
