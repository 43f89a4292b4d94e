// SPDX-License-Identifier: MIT
#include "engine/internal.h"
#include "base/error.h"
#include "debug/dump.h"
#include "debug/perf.h"
#include "debug/report.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

// ---- the cache -------------------------------------------------------------------------------------------------------------------
static size_t cache_bytes(const TraceCache *cache) { return (size_t)(cache->memory.code_end - cache->memory.code); }

void trace_cache_init(TraceCache *cache) {
    cache->newest = &cache->oldest;
    size_t size = cache_bytes(cache) / TRACE_LINE * sizeof(Trace *);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) fatal("out of memory for the trace cache");
    cache->by_line = p;
}

static size_t line_of(const TraceCache *cache, const uint8_t *address) {
    return (size_t)(address - cache->memory.code) / TRACE_LINE;
}

static void note_lines(TraceCache *cache, const Trace *trace, Trace *value) {
    const HostCompiled *host = &trace->code.host;
    for (size_t i = line_of(cache, host->code); i <= line_of(cache, host->code + host->size - 1); i++)
        __atomic_store_n(&cache->by_line[i], value, __ATOMIC_RELEASE);
}

const Trace *trace_at_host(const TraceCache *cache, const uint8_t *address) {
    if (address < cache->memory.code || address >= cache->memory.code_end) return NULL;
    return __atomic_load_n(&cache->by_line[line_of(cache, address)], __ATOMIC_ACQUIRE);
}

Trace *trace_by_id(const TraceCache *cache, uint64_t id) {
    for (Trace *trace = cache->oldest; trace; trace = trace->next)
        if (trace->id == id) return trace;
    return NULL;
}

bool trace_limit_reached(const Engine *engine) { return engine->traces.made >= engine->options.trace_limit; }

void trace_plan_free(TracePlan *plan) {
    free(plan->blocks);
    *plan = (TracePlan){.loop = -1};
}

static void list_blocks(Trace *trace) {
    trace->links = calloc(trace->plan.count, sizeof *trace->links);
    if (!trace->links) fatal("out of memory for a trace");
    for (uint32_t i = 0; i < trace->plan.count; i++) {
        TraceLink *link = &trace->links[i], **list = &trace->plan.blocks[i]->in_traces;
        *link = (TraceLink){.next = *list, .back = list, .trace = trace};
        if (*list) (*list)->back = &link->next;
        *list = link;
    }
}

static void unlist_blocks(Trace *trace) {
    for (uint32_t i = 0; i < trace->plan.count; i++) {
        TraceLink *link = &trace->links[i];
        *link->back = link->next;
        if (link->next) link->next->back = link->back;
    }
}

void trace_widen(Trace *trace, Block *const *added, uint32_t count) {
    TracePlan *plan = &trace->plan;
    unlist_blocks(trace);
    free(trace->links);
    plan->count = plan->path + count;
    plan->blocks = realloc(plan->blocks, plan->count * sizeof *plan->blocks);
    if (!plan->blocks) fatal("out of memory for a trace");
    for (uint32_t i = 0; i < count; i++) plan->blocks[plan->path + i] = added[i];
    list_blocks(trace);
}

// Other threads may have counted with them for another trace: what they tell of this one is a little wrong at first.
static uint32_t take_tallies(Engine *engine) {
    TraceCache *cache = &engine->traces;
    if (cache->spare_count) return cache->spare[--cache->spare_count];
    return code_tally_alloc(&engine->memory, sizeof(TraceTallies) / sizeof(uint32_t));
}

static void give_tallies_back(TraceCache *cache, uint32_t tallies) {
    if (!tallies) return;
    if (cache->spare_count == cache->spare_room) {
        cache->spare_room = cache->spare_room ? 2 * cache->spare_room : 16;
        cache->spare = realloc(cache->spare, cache->spare_room * sizeof *cache->spare);
        if (!cache->spare) fatal("out of memory for the trace cache");
    }
    cache->spare[cache->spare_count++] = tallies;
}

static void free_trace(Engine *engine, Trace *trace) {
    TraceCache *cache = &engine->traces;
    count_take_exits(engine, trace);
    note_lines(cache, trace, NULL);
    if (trace->counter) give_tallies_back(cache, trace->counter->counter);
    memset(trace->data, 0, (size_t)(trace->data_end - trace->data));
    trace_plan_free(&trace->plan);
    free(trace->links);
    free(trace->code.host.faults);
    free(trace->code.host.entries);
    free(trace->code.host.exits);
    free(trace);
}

static void note_end(Engine *engine, const Trace *trace, Reason reason) {
    engine->reasons[reason]++;
    dump_trace_end(engine, trace, reason);
    report_trace_end(engine, trace, reason);
}

void trace_cache_reset(Engine *engine, Reason reason) {
    TraceCache *cache = &engine->traces;
    for (Trace *trace = cache->oldest, *next; trace; trace = next) {
        next = trace->next;
        if (trace->live) note_end(engine, trace, reason);
        free_trace(engine, trace);
    }
    cache->oldest = NULL;
    cache->spare_count = 0; // the memory they lie in is emptied too
    cache->newest = &cache->oldest;
    cache->memory.code_next = cache->memory.code;
    cache->memory.data_next = cache->memory.data;
}

// ---- going out of use ---------------------------------------------------------------------------------------------------------------
static void out_of_use(Trace *trace) {
    Block *head = trace->head;
    trace->live = false;
    head->trace = NULL;
    head->entry = block_own_code(head);
}

void trace_retire(Engine *engine, Trace *trace, Reason reason) {
    if (!trace->live) return;
    Block *head = trace->head;
    out_of_use(trace);
    note_end(engine, trace, reason);
    if (head->invalid) return;
    head_relink(engine, head);
    head_fail(engine, head, reason);
}

void traces_invalidate(Engine *engine, Block *block) {
    for (TraceLink *link = block->in_traces; link; link = link->next) {
        Trace *trace = link->trace;
        if (trace->code.invalid) continue;
        trace->code.invalid = true; // its exits are not linked any more
        if (current_cpu) forget_target(current_cpu, trace->code.pc);
        trace_retire(engine, trace, REASON_INVALIDATED);
    }
}

void traces_retract(Engine *engine) {
    world_stop(engine);
    for (Trace *trace = engine->traces.oldest; trace; trace = trace->next) {
        if (trace->form != TRACE_SECOND) continue;
        trace->code.invalid = true;
        trace_retire(engine, trace, REASON_RETRACTED);
    }
    world_clear_caches(engine);
    world_resume(engine);
}

// ---- eviction -----------------------------------------------------------------------------------------------------------------------
static void forget_exit(ExitRecord *record) {
    if (!record->linked) return;
    for (ExitRecord **link = &record->linked->incoming; *link; link = &(*link)->next) {
        if (*link != record) continue;
        *link = record->next;
        break;
    }
    record->linked = NULL;
}

static void evict(Engine *engine, Trace *trace) {
    trace_retire(engine, trace, REASON_EVICTED);
    for (uint32_t i = 0; i < trace->code.host.exit_count; i++) forget_exit(trace->code.host.exits[i]);
    engine->counters.traces_evicted++;
    unlist_blocks(trace);
    free_trace(engine, trace);
}

// What a new trace takes: code and data in [next, end), and the ends of the ring from the second pair on, where it does not fit.
typedef struct Sweep {
    CodeMemory room;
    const uint8_t *code_tail, *data_tail; // NULL: it fits
} Sweep;

static bool is_in(const uint8_t *start, const uint8_t *end, const uint8_t *next, const uint8_t *limit, const uint8_t *tail) {
    return (start < limit && end > next) || (tail && end > tail);
}

static bool is_swept(const Trace *trace, const Sweep *s) {
    const HostCompiled *host = &trace->code.host;
    return is_in(host->code, host->code + host->size, s->room.code_next, s->room.code_end, s->code_tail) ||
           is_in(trace->data, trace->data_end, s->room.data_next, s->room.data_end, s->data_tail);
}

// They are the oldest ones.
static void evict_swept(Engine *engine, const Sweep *s) {
    TraceCache *cache = &engine->traces;
    if (!cache->oldest || !is_swept(cache->oldest, s)) return;
    world_stop(engine);
    while (cache->oldest && is_swept(cache->oldest, s)) {
        Trace *trace = cache->oldest;
        cache->oldest = trace->next;
        evict(engine, trace);
    }
    if (!cache->oldest) cache->newest = &cache->oldest;
    engine->epoch++;
    world_clear_caches(engine);
    world_serialise(engine);
    world_resume(engine);
}

static uint8_t *aligned(uint8_t *p) { return (uint8_t *)(((uintptr_t)p + TRACE_LINE - 1) & ~(uintptr_t)(TRACE_LINE - 1)); }

// Processors foresee an indirect jump by where the last ones went, of which they look at the low bits of the address. Traces that all began
// at the same place of their lines would look alike: four methods called through pointers took up to 1.6 times as long as at places that differ.
static uint8_t *spread(const TraceCache *cache, uint8_t *p) {
    enum { PLACES = 4, PLACE_BYTES = TRACE_LINE / PLACES };
    const uint32_t hash = 0x9e3779b1;
    uint8_t *line = aligned(p);
    return line + ((uint32_t)line_of(cache, line) * hash >> 30) % PLACES * PLACE_BYTES;
}

// Room for a trace of at most that size behind the newest one. False: there is none.
static bool make_room(Engine *engine, size_t code, size_t data, CodeMemory *room) {
    const CodeMemory *all = &engine->traces.memory;
    if (code > cache_bytes(&engine->traces) || data > cache_bytes(&engine->traces)) return false;
    Sweep s = {.room = *all};
    s.room.code_next = spread(&engine->traces, all->code_next);
    s.room.data_next = aligned(all->data_next);
    bool code_wraps = (size_t)(all->code_end - s.room.code_next) < code || s.room.code_next > all->code_end;
    bool data_wraps = (size_t)(all->data_end - s.room.data_next) < data || s.room.data_next > all->data_end;
    if ((code_wraps || data_wraps) && engine->options.trace_cache_stop) return false;
    if (code_wraps) {
        s.code_tail = all->code_next;
        s.room.code_next = all->code;
    }
    if (data_wraps) {
        s.data_tail = all->data_next;
        s.room.data_next = all->data;
    }
    s.room.code_end = s.room.code_next + code;
    s.room.data_end = s.room.data_next + data;
    evict_swept(engine, &s);
    *room = s.room;
    return true;
}

// ---- coming into use ----------------------------------------------------------------------------------------------------------------
static void *keep(const void *array, size_t size) {
    if (!size) return NULL;
    void *copy = malloc(size);
    if (!copy) fatal("out of memory for a trace");
    return memcpy(copy, array, size);
}

static Trace *new_trace(TraceForm form, TracePlan plan) {
    Trace *trace = calloc(1, sizeof *trace);
    if (!trace) fatal("out of memory for a trace");
    trace->form = form;
    trace->completed = 100;
    trace->plan = plan;
    trace->head = plan.blocks[0];
    trace->code.pc = trace->head->pc;
    trace->code.mode = trace->head->mode;
    trace->code.is_trace = true;
    for (uint32_t i = 0; i < plan.path; i++) trace->guest_insns += plan.blocks[i]->guest_insns;
    return trace;
}

static void keep_tables(HostCompiled *host, Block *block) {
    host->faults = keep(host->faults, host->fault_count * sizeof *host->faults);
    host->entries = keep(host->entries, host->entry_count * sizeof *host->entries);
    host->exits = keep(host->exits, host->exit_count * sizeof *host->exits);
    for (uint32_t i = 0; i < host->exit_count; i++) host->exits[i]->block = block;
}

// It lies in the room and is entered from now on.
static void use(Engine *engine, Trace *trace, const CodeMemory *room, uint8_t *data) {
    TraceCache *cache = &engine->traces;
    Block *head = trace->head;
    keep_tables(&trace->code.host, &trace->code);
    trace->data = data;
    trace->data_end = room->data_next;
    cache->memory.code_next = room->code_next;
    cache->memory.data_next = room->data_next;
    trace->id = ++cache->last_id;
    *cache->newest = trace;
    cache->newest = &trace->next;
    note_lines(cache, trace, trace);
    cache->made++;
    list_blocks(trace);
    if (head->trace) {
        head->trace->live = false;
        note_end(engine, head->trace, REASON_REPLACED);
    }
    trace->live = true;
    head->trace = trace;
    head->entry = trace->code.host.code;
    head_relink(engine, head);
}

static void enter_behind_counter(Engine *engine, Trace *trace) {
    trace->head->entry = trace->code.host.code + host_counter_bytes();
    head_relink(engine, trace->head);
}

static void leave_ends(const Engine *engine, const Trace *trace) {
    if (!engine->threaded) host_stop_counting_ends(&engine->traces.memory, trace->code.host.ends);
}

void trace_stop_counting(Engine *engine, Trace *trace) {
    if (!trace->live || trace->form != TRACE_FIRST) return;
    trace->by_rounds = false;
    leave_ends(engine, trace);
    enter_behind_counter(engine, trace);
}

void trace_end_sample(Engine *engine, Trace *trace) {
    enum { SELDOM = 512 };
    trace->sampled = true;
    trace->sample_entered = trace->entered;
    trace->sample_ended = trace->ended;
    leave_ends(engine, trace);
    trace->by_rounds = trace->plan.loop == 0 && trace->ended && trace->ended >= trace->entered / SELDOM;
    if (trace->by_rounds) enter_behind_counter(engine, trace);
}

const uint8_t *trace_entry_from(const ExitRecord *record, const Block *target) {
    const Trace *trace = target->trace;
    return trace && trace->by_rounds && record->block == &trace->code ? trace->code.host.code : target->entry;
}

static void fill_path(HotPath *path, const TracePlan *plan) {
    path->count = plan->path;
    path->added = plan->count - plan->path;
    for (uint32_t i = 0; i < plan->count; i++) path->blocks[i] = plan->blocks[i]->id;
}

// Traces that begin on this one's blocks and lie in it for the most part: it does their work, edges inside included, which a first form
// does not have. A head that is entered from elsewhere will count again.
static void retire_covered(Engine *engine, const Trace *trace) {
    HotPath all, other;
    fill_path(&all, &trace->plan);
    for (uint32_t i = 1; i < trace->plan.count; i++) {
        Trace *inner = trace->plan.blocks[i]->trace;
        if (!inner || inner == trace) continue;
        fill_path(&other, &inner->plan);
        if (hot_covered(&other, &all, &engine->options.hot)) trace_retire(engine, inner, REASON_COVERED);
    }
}

static void count_shape(Engine *engine, const Trace *trace) {
    Counters *c = &engine->counters;
    c->trace_blocks += trace->plan.count;
    c->trace_guest_insns += trace->guest_insns;
    if (trace->plan.shape == HOT_STRAIGHT) c->traces_straight++;
    else if (trace->plan.shape == HOT_O) c->traces_o_shaped++;
    else c->traces_6_shaped++;
    if (trace->plan.count <= 1) c->traces_of_1++;
    else if (trace->plan.count <= 2) c->traces_of_2++;
    else if (trace->plan.count <= 4) c->traces_of_4++;
    else if (trace->plan.count <= 8) c->traces_of_8++;
    else if (trace->plan.count <= 16) c->traces_of_16++;
    else if (trace->plan.count <= 32) c->traces_of_32++;
    else c->traces_of_more++;
}

// A short loop is repeated in its first form: fewer jumps, polls and counts.
static uint32_t unrolled(const TracePlan *plan, uint32_t insns) {
    enum { ENOUGH_INSNS = 48, MOST_TIMES = 8 };
    if (plan->loop != 0 || insns == 0) return 1;
    uint32_t times = ENOUGH_INSNS / insns;
    if (times > MOST_TIMES) times = MOST_TIMES;
    if (times * plan->path > HOT_MAX_BLOCKS) times = HOT_MAX_BLOCKS / plan->path;
    return times ? times : 1;
}

static uint32_t count_floats(const KirBlock *kir) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < kir->count; i++) count += (kir_op_info[kir->insns[i].op].flags & KIR_FLAG_FPENV) != 0;
    return count;
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

Trace *trace_make_first(Engine *engine, TracePlan plan, Reason *reason) {
    Trace *trace = new_trace(TRACE_FIRST, plan);
    if (engine->options.count) trace->counted = count_trace(engine, &plan, COUNT_FIRST);
    uint64_t start = engine_nanoseconds();
    uint32_t tallies = take_tallies(engine);
    if (!tallies) {
        *reason = REASON_CACHE_FULL;
        goto fail;
    }
    for (;;) {
        uint32_t times = unrolled(&plan, trace->guest_insns);
        KirBlock *kir = translate_path(engine, plan.blocks, plan.path, times, trace->counted ? trace->counted->blocks : NULL);
        trace->rounds = times;
        trace->floats = count_floats(kir) / times;
        size_t code = 1024 + kir->count * 16u, data = 1024 + kir->exit_count * 2u * sizeof(ExitRecord) + kir->count * 4u;
        CodeMemory room;
        for (;; code *= 2, data *= 2) {
            if (!make_room(engine, code, data, &room)) {
                *reason = REASON_CACHE_FULL;
                goto fail;
            }
            uint8_t *data_start = room.data_next;
            trace->counter = code_data_alloc(&room, sizeof *trace->counter);
            *trace->counter = (HeadRecord){
                .counter = tallies, .ends = tallies + (uint32_t)offsetof(TraceTallies, ends), .owner = trace, .of_trace = true};
            trace->ops = kir->count;
            if (host_compile(engine->host, &room, kir, trace->counter, &engine->scratch, &trace->code.host)) {
                use(engine, trace, &room, data_start);
                trace_arm(engine, trace);
                trace->compile_ns = engine_nanoseconds() - start;
                trace->made_ns = engine_processor_nanoseconds();
                engine->counters.traces_first++;
                engine->counters.trace_first_ns += trace->compile_ns;
                engine->counters.trace_bytes += trace->code.host.size;
                count_shape(engine, trace);
                dump_trace(engine, trace, kir);
                report_trace(engine, trace, kir);
                perf_trace(engine, trace);
                return trace;
            }
            if (trace->code.host.too_complex) break;
        }
        // Half of the path may do.
        if (plan.path < 2) break;
        trace->plan.path = plan.path = plan.path / 2;
        trace->plan.count = plan.count = least(plan.count, plan.path);
        trace->plan.loop = plan.loop = -1;
        trace->plan.shape = HOT_STRAIGHT;
        engine->reasons[REASON_TOO_COMPLEX]++;
    }
    *reason = REASON_TOO_COMPLEX;
fail:
    give_tallies_back(&engine->traces, tallies);
    trace_plan_free(&trace->plan);
    free(trace);
    return NULL;
}

Trace *trace_make_second(Engine *engine, TracePlan plan, Counted *counted, const TraceResult *result, Reason *reason) {
    Trace *trace = new_trace(TRACE_SECOND, plan);
    trace->counted = counted;
    trace->made_under = engine_assumptions(engine); // as its request's, or it would be stale
    size_t code = result->object_size + 64u * result->exit_count + 256, data = 256 + result->exit_count * sizeof(ExitRecord) * 2u;
    CodeMemory room;
    *reason = REASON_CACHE_FULL;
    if (make_room(engine, code, data, &room)) {
        uint8_t *data_start = room.data_next;
        arena_reset(&engine->scratch);
        *reason = host_place_trace(engine->host, &room, result, &engine->scratch, &trace->code.host);
        if (*reason == REASON_NONE) {
            use(engine, trace, &room, data_start);
            trace->compile_ns = result->compile_ns;
            engine->counters.traces_second++;
            engine->counters.optimizer_ns += result->compile_ns;
            engine->counters.trace_bytes += trace->code.host.size;
            dump_trace(engine, trace, NULL);
            report_trace(engine, trace, NULL);
            perf_trace(engine, trace);
            retire_covered(engine, trace);
            return trace;
        }
    }
    trace_plan_free(&trace->plan);
    free(trace);
    return NULL;
}
