// SPDX-License-Identifier: MIT
//
// The map is a sorted array of disjoint mappings; neighbours that are alike are one entry. Programs have tens to some
// thousands of entries, look-ups are binary searches, changes move the tail of the array.
#include "linux/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "base/error.h"
#include "linux/linux.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

enum {
    PROT_HINTS = 8 | 0x01000000 | 0x02000000, // PROT_SEM, PROT_GROWSDOWN, PROT_GROWSUP: no meaning here
    HOST_ONLY_FLAGS = 0x40 | 0x80,            // MAP_32BIT, MAP_ABOVE4G: x86's alone
    FOREIGN_MAX = 64,
};

typedef struct Range {
    uint64_t start, end;
} Range;

static struct {
    pthread_mutex_t lock;
    Mapping *items;
    size_t count, capacity;
    uint64_t total, data; // bytes mapped; private writable ones among them
    uint64_t total_limit, data_limit;
    uint64_t top;        // automatic placement goes down from here ...
    uint64_t search_top; // ... with nothing free between here and top but holes up to largest_hole
    uint64_t largest_hole;
    uint64_t brk_start, brk;
    Range foreign[FOREIGN_MAX]; // Kiln's or the host's mappings met inside the guest's area
    size_t foreign_count;
    Engine *engine;
} map = {.lock = PTHREAD_MUTEX_INITIALIZER, .total_limit = UINT64_MAX, .data_limit = UINT64_MAX};

void memory_lock(void) { pthread_mutex_lock(&map.lock); }
void memory_unlock(void) { pthread_mutex_unlock(&map.lock); }

void memory_init(uint64_t mmap_top) {
    free(map.items);
    map.items = NULL;
    map.count = map.capacity = map.foreign_count = 0;
    map.total = map.data = 0;
    memory_set_top(mmap_top);
}

void memory_set_top(uint64_t mmap_top) {
    map.top = map.search_top = page_down(mmap_top);
    map.largest_hole = 0;
}

void memory_set_engine(Engine *engine) { map.engine = engine; }

void memory_set_limits(uint64_t total, uint64_t data) {
    map.total_limit = total;
    map.data_limit = data;
}

// ---- the array --------------------------------------------------------------------------------------------------------

// Index of the first mapping that ends above `address` (count if none).
static size_t find(uint64_t address) {
    size_t low = 0, high = map.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (map.items[middle].end > address) high = middle;
        else low = middle + 1;
    }
    return low;
}

static bool is_free(uint64_t start, uint64_t end) {
    size_t i = find(start);
    return i == map.count || map.items[i].start >= end;
}

static bool covers(uint64_t start, uint64_t end) {
    for (size_t i = find(start); start < end; i++) {
        if (i == map.count || map.items[i].start > start) return false;
        start = map.items[i].end;
    }
    return true;
}

static bool counts_as_data(const Mapping *m) { return (m->prot & PROT_WRITE) && !(m->flags & MAPPING_SHARED); }

static void account(const Mapping *m, bool add) {
    uint64_t size = m->end - m->start;
    map.total += add ? size : -size;
    if (counts_as_data(m)) map.data += add ? size : -size;
}

// Makes the array have `extra` more entries at index i, uninitialised.
static void open_gap(size_t i, size_t extra) {
    if (map.count + extra > map.capacity) {
        size_t capacity = map.capacity ? map.capacity * 2 : 64;
        Mapping *items = realloc(map.items, capacity * sizeof *items);
        if (!items) fatal("out of memory for the map of guest memory");
        map.items = items;
        map.capacity = capacity;
    }
    if (map.count > i) memmove(map.items + i + extra, map.items + i, (map.count - i) * sizeof *map.items);
    map.count += extra;
}

static void close_gap(size_t i, size_t n) {
    if (map.count > i + n) memmove(map.items + i, map.items + i + n, (map.count - i - n) * sizeof *map.items);
    map.count -= n;
}

static void move_start(Mapping *m, uint64_t start) {
    if (m->flags & MAPPING_FILE) m->offset += start - m->start;
    m->start = start;
}

// Makes `address` a border between two entries if it lies inside one.
static void split_at(uint64_t address) {
    size_t i = find(address);
    if (i == map.count || map.items[i].start >= address) return;
    open_gap(i, 1);
    map.items[i] = map.items[i + 1];
    map.items[i].end = address;
    move_start(&map.items[i + 1], address);
}

static bool alike(const Mapping *a, const Mapping *b) {
    if (a->end != b->start || a->prot != b->prot || a->flags != b->flags || (a->flags & MAPPING_SHM)) return false;
    if ((a->flags & MAPPING_IMAGE) && a->image_base != b->image_base) return false;
    return !(a->flags & MAPPING_FILE) ||
           (a->device == b->device && a->inode == b->inode && a->offset + (a->end - a->start) == b->offset);
}

// Joins entries first-1 .. last with their like neighbours.
static void join(size_t first, size_t last) {
    for (size_t i = last < map.count ? last : map.count - 1; i > 0 && i + 1 > first; i--) {
        if (i >= map.count || !alike(&map.items[i - 1], &map.items[i])) continue;
        map.items[i - 1].end = map.items[i].end;
        close_gap(i, 1);
    }
}

// Takes [start, end) out of the map.
static void take_out(uint64_t start, uint64_t end) {
    split_at(start);
    split_at(end);
    size_t first = find(start), last = first;
    while (last < map.count && map.items[last].start < end) account(&map.items[last++], false);
    close_gap(first, last - first);
    if (end > map.search_top && start < map.top) map.search_top = end < map.top ? end : map.top;
}

static void put_in(const Mapping *m) {
    take_out(m->start, m->end);
    size_t i = find(m->start);
    open_gap(i, 1);
    map.items[i] = *m;
    account(m, true);
    join(i, i + 1);
}

// Is any of [start, end) executable guest memory?
static bool has_exec(uint64_t start, uint64_t end) {
    for (size_t i = find(start); i < map.count && map.items[i].start < end; i++)
        if (map.items[i].prot & PROT_EXEC) return true;
    return false;
}

static bool has_shared(uint64_t start, uint64_t end) {
    for (size_t i = find(start); i < map.count && map.items[i].start < end; i++)
        if (map.items[i].flags & MAPPING_SHARED) return true;
    return false;
}

void memory_invalidate(uint64_t start, uint64_t end) {
    if (map.engine) engine_invalidate(map.engine, start, end);
}

// For changes of one or two ranges. Where there is code, another thread may be about to read it for a translation: it must be done before
// the memory goes away. True: there is code; afterwards its translations must be forgotten.
static bool lock_ranges(uint64_t start, uint64_t end, uint64_t other_start, uint64_t other_end) {
    memory_lock();
    if (!has_exec(start, end) && !has_exec(other_start, other_end)) return false;
    memory_unlock();
    if (map.engine) engine_lock(map.engine);
    memory_lock();
    return true;
}

static bool lock_range(uint64_t start, uint64_t end) { return lock_ranges(start, end, 0, 0); }

static void unlock_range(bool code) {
    memory_unlock();
    if (code && map.engine) engine_unlock(map.engine);
}

// ---- host calls -------------------------------------------------------------------------------------------------------

static int host_prot(int prot) {
    int host = prot & (PROT_READ | PROT_WRITE);
    return (prot & PROT_EXEC) ? host | PROT_READ : host;
}

static long host_mmap(uint64_t address, uint64_t size, int prot, int flags, int fd, uint64_t offset) {
    long r = host_syscall(SYS_mmap, address, size, prot, flags, fd, offset);
    // Kernels before 4.17 take NOREPLACE as a mere hint.
    if (r >= 0 && (flags & MAP_FIXED_NOREPLACE) && (uint64_t)r != address) {
        host_syscall(SYS_munmap, r, size, 0, 0, 0, 0);
        return -EEXIST;
    }
    return r;
}

static long host_munmap(uint64_t start, uint64_t end) { return host_syscall(SYS_munmap, start, end - start, 0, 0, 0, 0); }

static long reserve(uint64_t start, uint64_t end) {
    return host_mmap(start, end - start, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

// Calls visit for each piece of [start, end) that is not in the map; stops at a negative result.
static long each_gap(uint64_t start, uint64_t end, long (*visit)(uint64_t, uint64_t), uint64_t *stopped) {
    for (size_t i = find(start); start < end; i++) {
        uint64_t stop = i < map.count && map.items[i].start < end ? map.items[i].start : end;
        if (start < stop) {
            long r = visit(start, stop);
            if (r < 0) return *stopped = start, r;
        }
        start = i < map.count && map.items[i].end > stop ? map.items[i].end : stop;
    }
    return 0;
}

// Before memory is placed at a fixed address: makes sure that what the guest does not own there belongs to nobody, by
// owning it. Errors leave nothing behind.
static long claim(uint64_t start, uint64_t end) {
    uint64_t stopped, unused;
    long r = each_gap(start, end, reserve, &stopped);
    if (r < 0) each_gap(start, stopped, host_munmap, &unused);
    return r == -EEXIST ? -ENOMEM : r;
}

static void unclaim(uint64_t start, uint64_t end) {
    uint64_t unused;
    each_gap(start, end, host_munmap, &unused);
}

// ---- placement --------------------------------------------------------------------------------------------------------

// Learns what the host has mapped inside the guest's area besides guest memory.
static void scan_foreign(void) {
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps) return;
    char line[512];
    map.foreign_count = 0;
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx", &start, &end) != 2) continue;
        if (start >= GUEST_AREA_HIGH || !is_free(start, end)) continue;
        if (map.foreign_count < FOREIGN_MAX) map.foreign[map.foreign_count++] = (Range){start, end};
    }
    fclose(maps);
}

static uint64_t foreign_start(uint64_t start, uint64_t end) {
    for (size_t i = 0; i < map.foreign_count; i++)
        if (map.foreign[i].start < end && map.foreign[i].end > start) return map.foreign[i].start;
    return 0;
}

// Highest free place below `top`, or 0.
static uint64_t search_down(uint64_t top, uint64_t size, uint64_t align) {
    size_t above = find(top > 0 ? top - 1 : 0);
    if (above < map.count && map.items[above].start < top) top = map.items[above].start;
    for (;;) {
        uint64_t floor = above > 0 ? map.items[above - 1].end : GUEST_AREA_LOW;
        if (floor < GUEST_AREA_LOW) floor = GUEST_AREA_LOW;
        while (top > floor && top - floor >= size) {
            uint64_t place = (top - size) & ~(align - 1);
            if (place < floor) break;
            uint64_t foreign = foreign_start(place, place + size);
            if (!foreign) return place;
            top = foreign;
        }
        if (top > floor && top - floor > map.largest_hole) map.largest_hole = top - floor;
        if (above == 0) return 0;
        top = map.items[--above].start;
    }
}

static uint64_t find_place(uint64_t size, uint64_t align) {
    if (size <= map.largest_hole || align > GUEST_PAGE) {
        map.search_top = map.top;
        map.largest_hole = 0;
    }
    uint64_t place = search_down(map.search_top, size, align);
    if (place) map.search_top = place;
    return place;
}

// Maps at an address of our choice.
static long map_anywhere(uint64_t size, uint64_t align, int prot, int flags, int fd, uint64_t offset) {
    for (int tries = 0; tries < 4; tries++) {
        uint64_t place = find_place(size, align);
        if (!place) break;
        long r = host_mmap(place, size, prot, flags | MAP_FIXED_NOREPLACE, fd, offset);
        if (r != -EEXIST) return r;
        scan_foreign();
    }
    return host_mmap(0, size, prot, flags, fd, offset);
}

// ---- mmap -------------------------------------------------------------------------------------------------------------

// Memory that is about to be visible to others, or to be the guest's at two addresses: the engine takes it to be private
// until then. Called without the map's lock.
static void announce_sharing(bool shared) {
    if (shared && map.engine) engine_memory_is_shared(map.engine);
}

static bool is_shared_type(int flags) { return (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE; }

// A shared mapping that the guest may not write: do others write there while it reads? Many programs map files for reading that
// nobody ever changes (caches of the C library, of fonts), and all their code would be the slower; so files on disks that were opened
// for reading do not count.
static bool is_written_by_others(int flags, int fd) {
    struct stat st;
    struct statfs fs;
    if ((flags & MAP_ANONYMOUS) || fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0 || !S_ISREG(st.st_mode)) return true;
    return (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY || fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC;
}

static bool over_limit(uint64_t size, bool data) {
    if (map.total_limit != UINT64_MAX && map.total + size > map.total_limit) return true;
    return data && map.data_limit != UINT64_MAX && map.data + size > map.data_limit;
}

static void describe(Mapping *m, uint64_t start, uint64_t size, int prot, int flags, int fd, uint64_t offset) {
    *m = (Mapping){.start = start, .end = start + size, .prot = (uint32_t)prot & 7u};
    if (is_shared_type(flags)) m->flags |= MAPPING_SHARED;
    struct stat st;
    if ((flags & MAP_ANONYMOUS) || fstat(fd, &st) < 0) return;
    m->flags |= MAPPING_FILE;
    m->device = st.st_dev;
    m->inode = st.st_ino;
    m->offset = offset;
    if (!S_ISREG(st.st_mode)) return;
    // Where a file lies is told by its first mapping, which a dynamic linker makes large enough for the others.
    m->flags |= MAPPING_IMAGE;
    m->image_base = start - offset;
    size_t i = find(start);
    const Mapping *old = i < map.count ? &map.items[i] : NULL;
    if (old && old->start <= start && (old->flags & MAPPING_IMAGE) && old->device == m->device && old->inode == m->inode)
        m->image_base = old->image_base;
}

// Places it as the flags say; returns the address. *was_code: code was replaced.
static long place(uint64_t address, uint64_t size, int prot, int flags, int fd, uint64_t offset, bool *was_code) {
    int host = host_prot(prot), plain = flags & ~(MAP_FIXED | MAP_FIXED_NOREPLACE);
    uint64_t end = address + size;
    if (flags & MAP_FIXED_NOREPLACE) {
        if (!is_free(address, end)) return -EEXIST;
        return host_mmap(address, size, host, plain | MAP_FIXED_NOREPLACE, fd, offset);
    }
    if (flags & MAP_FIXED) {
        long r = claim(address, end);
        if (r < 0) return r;
        r = host_mmap(address, size, host, plain | MAP_FIXED, fd, offset);
        if (r < 0) unclaim(address, end);
        else *was_code = has_exec(address, end);
        return r;
    }
    uint64_t align = GUEST_PAGE;
    if (flags & MAP_HUGETLB) align = (flags >> 26 & 63) ? UINT64_C(1) << (flags >> 26 & 63) : UINT64_C(1) << 21;
    if (address && !(address & (align - 1)) && end > address && end <= HOST_AREA_HIGH && is_free(address, end)) {
        long r = host_mmap(address, size, host, plain | MAP_FIXED_NOREPLACE, fd, offset);
        if (r != -EEXIST && r != -EPERM) return r;
    }
    return map_anywhere((size + align - 1) & ~(align - 1), align, host, plain, fd, offset);
}

long memory_map(uint64_t address, uint64_t size, int prot, int flags, int fd, uint64_t offset) {
    bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    flags &= ~(MAP_GROWSDOWN | HOST_ONLY_FLAGS); // stacks of our own making have their full size from the start
    if (size == 0 || (offset & (GUEST_PAGE - 1))) return -EINVAL;
    if (size > HOST_AREA_HIGH) return -ENOMEM;
    size = page_up(size);
    if (fixed && (address & (GUEST_PAGE - 1))) return -EINVAL;
    if (fixed && (address > HOST_AREA_HIGH || address + size > HOST_AREA_HIGH)) return -ENOMEM;
    address = page_up(address);
    bool private_data = (prot & PROT_WRITE) && (flags & MAP_TYPE) == MAP_PRIVATE, was_code = false;
    announce_sharing(is_shared_type(flags) && ((prot & PROT_WRITE) || is_written_by_others(flags, fd)));

    bool code = false;
    if (flags & MAP_FIXED) code = lock_range(address, address + size);
    else memory_lock();
    long r = over_limit(size, private_data) ? -ENOMEM : place(address, size, prot, flags, fd, offset, &was_code);
    if (r >= 0) {
        Mapping m;
        describe(&m, (uint64_t)r, size, prot, flags, fd, offset);
        put_in(&m);
    }
    unlock_range(code);
    if (was_code) memory_invalidate((uint64_t)r, (uint64_t)r + size);
    return r;
}

// ---- munmap, mprotect -------------------------------------------------------------------------------------------------

static bool bad_range(uint64_t address, uint64_t size) {
    return address > HOST_AREA_HIGH || size > HOST_AREA_HIGH || page_up(size) > HOST_AREA_HIGH - address;
}

// Unmaps the guest's part of [start, end).
static long unmap_locked(uint64_t start, uint64_t end) {
    uint64_t at = start;
    for (size_t i = find(start); i < map.count && map.items[i].start < end; i++) {
        const Mapping *m = &map.items[i];
        uint64_t from = m->start > at ? m->start : at, to = m->end < end ? m->end : end;
        // Neighbouring entries go in one host call.
        while (i + 1 < map.count && map.items[i + 1].start == to && to < end)
            to = map.items[++i].end < end ? map.items[i].end : end;
        long r = host_munmap(from, to);
        if (r < 0) return r;
        at = to;
    }
    take_out(start, end);
    return 0;
}

long memory_unmap(uint64_t address, uint64_t size) {
    if ((address & (GUEST_PAGE - 1)) || size == 0 || bad_range(address, size)) return -EINVAL;
    uint64_t end = address + page_up(size);
    bool code = lock_range(address, end);
    long r = unmap_locked(address, end);
    unlock_range(code);
    if (code) memory_invalidate(address, end);
    return r;
}

// One entry's part of an mprotect.
static long protect_piece(uint64_t start, uint64_t end, int prot) {
    long r = host_syscall(SYS_mprotect, start, end - start, host_prot(prot), 0, 0, 0);
    if (r < 0) return r;
    split_at(start);
    split_at(end);
    size_t i = find(start);
    account(&map.items[i], false);
    map.items[i].prot = (uint32_t)prot & 7u;
    account(&map.items[i], true);
    join(i, i + 1);
    return 0;
}

long memory_protect(uint64_t address, uint64_t size, int prot) {
    if (address & (GUEST_PAGE - 1)) return -EINVAL;
    if (size == 0) return 0;
    prot &= ~PROT_HINTS;
    if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)) return -EINVAL;
    if (bad_range(address, size)) return -ENOMEM;
    uint64_t at = address, end = address + page_up(size);
    long r = 0;
    memory_lock();
    bool shared = has_shared(address, end);
    memory_unlock();
    announce_sharing(shared && (prot & PROT_WRITE));
    bool code = lock_range(address, end);
    while (at < end && r == 0) {
        size_t i = find(at);
        if (i == map.count || map.items[i].start > at) {
            r = -ENOMEM;
            break;
        }
        uint64_t stop = map.items[i].end < end ? map.items[i].end : end;
        if (map.items[i].prot != ((uint32_t)prot & 7u)) r = protect_piece(at, stop, prot);
        at = stop;
    }
    unlock_range(code);
    // Code that was writable may be other code when it is made executable again.
    if (code) memory_invalidate(address, end);
    return r;
}

// ---- mremap -----------------------------------------------------------------------------------------------------------

// After the host has moved or resized [from, from + old_size) to [to, to + new_size).
static void note_moved(uint64_t from, uint64_t old_size, uint64_t to, uint64_t new_size, bool keep_old) {
    Mapping m = map.items[find(from)];
    move_start(&m, from);
    if ((m.flags & MAPPING_IMAGE) && to != from) m.flags &= ~(uint32_t)MAPPING_IMAGE;
    m.start = to;
    m.end = to + new_size;
    if (!keep_old && old_size) take_out(from, from + old_size);
    put_in(&m);
}

static long host_mremap(uint64_t from, uint64_t old_size, uint64_t new_size, int flags, uint64_t to) {
    return host_syscall(SYS_mremap, from, old_size, new_size, flags, to, 0);
}

// Moves to a place of our choice.
static long move_anywhere(uint64_t from, uint64_t old_size, uint64_t new_size, int flags) {
    long to = map_anywhere(new_size, GUEST_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (to < 0) return to;
    long r = host_mremap(from, old_size, new_size, flags | MREMAP_FIXED, (uint64_t)to);
    if (r < 0) host_munmap((uint64_t)to, (uint64_t)to + new_size);
    return r;
}

static long move_fixed(uint64_t from, uint64_t old_size, uint64_t new_size, int flags, uint64_t to) {
    long r = claim(to, to + new_size);
    if (r < 0) return r;
    r = host_mremap(from, old_size, new_size, flags, to);
    if (r < 0) unclaim(to, to + new_size);
    return r;
}

static long remap_locked(uint64_t from, uint64_t old_size, uint64_t new_size, int flags, uint64_t to) {
    size_t i = find(from);
    if (i == map.count || map.items[i].start > from || map.items[i].end - from < old_size) return -EFAULT;
    if (new_size > old_size && over_limit(new_size - old_size, counts_as_data(&map.items[i]))) return -ENOMEM;
    long r;
    if (flags & MREMAP_FIXED) {
        r = move_fixed(from, old_size, new_size, flags, to);
    } else {
        r = -ENOMEM;
        if (old_size && !(flags & MREMAP_DONTUNMAP)) r = host_mremap(from, old_size, new_size, 0, 0);
        if (r == -ENOMEM && (flags & MREMAP_MAYMOVE)) r = move_anywhere(from, old_size, new_size, flags);
    }
    if (r >= 0) note_moved(from, old_size, (uint64_t)r, new_size, (flags & MREMAP_DONTUNMAP) != 0);
    return r;
}

long memory_remap(uint64_t address, uint64_t old_size, uint64_t new_size, int flags, uint64_t new_address) {
    if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) return -EINVAL;
    if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(flags & MREMAP_MAYMOVE)) return -EINVAL;
    if ((address & (GUEST_PAGE - 1)) || new_size == 0 || new_size > HOST_AREA_HIGH) return -EINVAL;
    if (bad_range(address, old_size)) return -EFAULT;
    old_size = page_up(old_size);
    new_size = page_up(new_size);
    if ((flags & MREMAP_DONTUNMAP) && old_size != new_size) return -EINVAL;
    if (flags & MREMAP_FIXED) {
        if ((new_address & (GUEST_PAGE - 1)) || bad_range(new_address, new_size)) return -EINVAL;
        if (new_address < address + old_size && address < new_address + new_size) return -EINVAL;
    }
    bool fixed = (flags & MREMAP_FIXED) != 0;
    bool any_code = lock_ranges(address, address + old_size, fixed ? new_address : 0, fixed ? new_address + new_size : 0);
    bool code = has_exec(address, address + old_size), target_code = fixed && has_exec(new_address, new_address + new_size);
    long r = remap_locked(address, old_size, new_size, flags, new_address);
    unlock_range(any_code);
    if (r >= 0 && code) memory_invalidate(address, address + old_size);
    if (r >= 0 && (code || target_code)) memory_invalidate((uint64_t)r, (uint64_t)r + new_size);
    return r;
}

// ---- System V shared memory -------------------------------------------------------------------------------------------

static long attach_at(int shmid, uint64_t address, uint64_t size, int flags) {
    if (!address) {
        long r = -ENOMEM;
        for (int tries = 0; tries < 4; tries++) {
            uint64_t place_at = find_place(size, GUEST_PAGE);
            r = host_syscall(SYS_shmat, shmid, place_at, flags & ~SHM_RND, 0, 0, 0);
            if (r != -EINVAL || !place_at) return r;
            scan_foreign();
        }
        return r;
    }
    if ((flags & SHM_REMAP) && !covers(address, address + size)) {
        long r = claim(address, address + size);
        if (r < 0) return -EINVAL;
        r = host_syscall(SYS_shmat, shmid, address, flags, 0, 0, 0);
        if (r < 0) unclaim(address, address + size);
        return r;
    }
    return host_syscall(SYS_shmat, shmid, address, flags, 0, 0, 0);
}

long memory_attach(int shmid, uint64_t address, int flags) {
    struct shmid_ds info;
    if (shmctl(shmid, IPC_STAT, &info) < 0) return -errno;
    if ((address & (GUEST_PAGE - 1)) && !(flags & SHM_RND)) return -EINVAL;
    address = page_down(address);
    uint64_t size = page_up(info.shm_segsz);
    int prot = PROT_READ | ((flags & SHM_RDONLY) ? 0 : PROT_WRITE) | ((flags & SHM_EXEC) ? PROT_EXEC : 0);
    if (bad_range(address, size)) return -EINVAL;
    announce_sharing(true);
    memory_lock();
    long r = attach_at(shmid, address, size, flags & ~SHM_EXEC);
    if (r >= 0) {
        Mapping m = {.start = (uint64_t)r,
                     .end = (uint64_t)r + size,
                     .prot = (uint32_t)prot,
                     .flags = MAPPING_SHARED | MAPPING_SHM,
                     .shm_start = (uint64_t)r};
        put_in(&m);
    }
    memory_unlock();
    return r;
}

static bool part_of_segment(size_t i, uint64_t address) {
    return (map.items[i].flags & MAPPING_SHM) && map.items[i].shm_start == address;
}

long memory_detach(uint64_t address) {
    uint64_t end = address;
    memory_lock();
    size_t i = find(address);
    long r = -EINVAL;
    if (i < map.count && map.items[i].start == address && part_of_segment(i, address)) {
        r = host_syscall(SYS_shmdt, address, 0, 0, 0, 0, 0);
        while (r >= 0 && i < map.count && part_of_segment(i, address)) {
            end = map.items[i].end;
            take_out(map.items[i].start, map.items[i].end);
        }
    }
    memory_unlock();
    if (end > address) memory_invalidate(address, end);
    return r;
}

// ---- brk --------------------------------------------------------------------------------------------------------------

void memory_set_brk(uint64_t start) { map.brk_start = map.brk = start; }
uint64_t memory_brk_start(void) { return map.brk_start; }

static bool grow_brk(uint64_t start, uint64_t end) {
    const int prot = PROT_READ | PROT_WRITE;
    if (over_limit(end - start, true) || !is_free(start, end)) return false;
    if (host_mmap(start, end - start, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) < 0) return false;
    put_in(&(Mapping){.start = start, .end = end, .prot = (uint32_t)prot});
    return true;
}

uint64_t memory_brk(uint64_t wanted) {
    bool code = lock_range(map.brk_start, map.brk), shrunk = false, done = false;
    uint64_t old_end = page_up(map.brk), new_end = page_up(wanted);
    if (wanted < map.brk_start || wanted > HOST_AREA_HIGH) done = false;
    else if (new_end == old_end) done = true;
    else if (new_end < old_end) done = shrunk = unmap_locked(new_end, old_end) == 0;
    else done = grow_brk(old_end, new_end);
    if (done) map.brk = wanted;
    uint64_t now = map.brk;
    unlock_range(code);
    if (code && shrunk) memory_invalidate(new_end, old_end);
    return now;
}

// ---- look-ups ---------------------------------------------------------------------------------------------------------

bool memory_next(uint64_t address, Mapping *out) {
    memory_lock();
    size_t i = find(address);
    bool found = i < map.count;
    if (found) *out = map.items[i];
    memory_unlock();
    return found;
}

bool memory_lookup(uint64_t address, Mapping *out) { return memory_next(address, out) && out->start <= address; }

bool memory_covers(uint64_t address, uint64_t size) {
    if (size == 0) return true;
    if (bad_range(address, size)) return false;
    memory_lock();
    bool all = covers(page_down(address), page_up(address + size));
    memory_unlock();
    return all;
}

void memory_set_image(uint64_t start, uint64_t end, bool movable, uint64_t base) {
    memory_lock();
    split_at(start);
    split_at(end);
    for (size_t i = find(start); i < map.count && map.items[i].start < end; i++) {
        map.items[i].flags &= ~(uint32_t)MAPPING_IMAGE;
        if (movable) map.items[i].flags |= MAPPING_IMAGE;
        map.items[i].image_base = base;
    }
    memory_unlock();
}

// ---- code -------------------------------------------------------------------------------------------------------------

static GuestCodeKind code_kind(const Mapping *m) {
    if (m->flags & MAPPING_SHARED) return GUEST_CODE_SHARED;
    return (m->prot & PROT_WRITE) ? GUEST_CODE_WRITABLE : GUEST_CODE_FIXED;
}

// A page of a file may lie behind its end, so each is a piece of its own.
size_t memory_fetch(uint64_t pc, GuestCodeKind *kind) {
    memory_lock();
    size_t i = find(pc), size = 0;
    if (i < map.count && map.items[i].start <= pc && (map.items[i].prot & PROT_EXEC)) {
        const Mapping *m = &map.items[i];
        *kind = code_kind(m);
        size = ((m->flags & (MAPPING_FILE | MAPPING_SHM)) ? page_down(pc) + GUEST_PAGE : m->end) - pc;
    }
    memory_unlock();
    return size;
}

bool memory_image(uint64_t pc, uint64_t *base) {
    Mapping m;
    if (!memory_lookup(pc, &m) || !(m.flags & MAPPING_IMAGE)) return false;
    *base = m.image_base;
    return true;
}

bool memory_guard(uint64_t page, bool guard) {
    memory_lock();
    size_t i = find(page);
    bool done = i < map.count && map.items[i].start <= page && (map.items[i].prot & PROT_WRITE);
    if (done) {
        int prot = host_prot((int)map.items[i].prot);
        host_syscall(SYS_mprotect, page, GUEST_PAGE, guard ? prot & ~PROT_WRITE : prot, 0, 0, 0);
    }
    memory_unlock();
    return done;
}

void memory_code_changed(uint64_t start, uint64_t end) {
    if (map.engine) engine_code_changed(map.engine, start, end);
}
