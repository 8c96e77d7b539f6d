/* plan.h - what the operator asks of plans beyond the public interface. */
#ifndef FALT_PLAN_H
#define FALT_PLAN_H

#include "faltung.h"

/* As falt_plan_create, of a forward or backward-data pass whose image goes around in a circle: pixel h of x is pixel h mod in.
 * Backward data needs in == stride * out in each dimension. FALT_UNSUPPORTED where no solver knows circles. Such a plan has no
 * error bound. */
falt_status falt_plan_create_circular(falt_plan **plan, const falt_conv *conv, falt_pass pass, const falt_options *options);

#endif
