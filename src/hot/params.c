// SPDX-License-Identifier: MIT
#include "hot/hot.h"
#include <string.h>

const HotParamInfo hot_param_info[] = {
#define HOT_PARAM(type, field, value, least, greatest, unit, meaning)                                                              \
    {#field, unit, meaning, value, least, greatest, _Generic((type)0, bool : true, default : false), offsetof(HotParams, field)},
#include "hot/params.def"
#undef HOT_PARAM
};
const unsigned hot_param_count = sizeof hot_param_info / sizeof *hot_param_info;

HotParams hot_params_default(void) {
    return (HotParams){
        .select = HOT_NET,
#define HOT_PARAM(type, field, value, least, greatest, unit, meaning) .field = value,
#include "hot/params.def"
#undef HOT_PARAM
    };
}

static const char *const select_names[HOT_SELECT_COUNT] = {
    [HOT_NET] = "net", [HOT_NET_STRICT] = "net-strict", [HOT_TRACETREE] = "tracetree"};

const char *hot_select_name(HotSelect select) { return (unsigned)select < HOT_SELECT_COUNT ? select_names[select] : ""; }

bool hot_select_parse(const char *name, HotSelect *select) {
    for (unsigned i = 0; i < HOT_SELECT_COUNT; i++)
        if (!strcmp(name, select_names[i])) return *select = (HotSelect)i, true;
    return false;
}
