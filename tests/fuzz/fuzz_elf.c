// SPDX-License-Identifier: MIT
//
// libFuzzer target for the ELF parser: the input is a file.
//
// Besides not crashing, what is accepted must keep what the loader relies on.
#include "fuzz.h"
#include <string.h>
#include "linux/elf_parse.h"
#include "linux/memory.h"

enum { EM_WANTED = 243 };

static void check_image(const ElfImage *image, const uint8_t *data, size_t size) {
    (void)data;
    REQUIRE(image->segment_count > 0 && image->segment_count <= ELF_MAX_PHDRS);
    REQUIRE(image->low <= image->high && image->high <= HOST_AREA_HIGH + GUEST_PAGE && image->end <= image->high);
    REQUIRE(image->align >= GUEST_PAGE && (image->align & (image->align - 1)) == 0);
    REQUIRE(image->interp_size <= ELF_MAX_INTERP && image->interp_offset <= size);
    for (unsigned i = 0; i < image->segment_count; i++) {
        const ElfSegment *s = &image->segments[i];
        REQUIRE(s->memory_size > 0 && s->file_size <= s->memory_size);
        REQUIRE(page_down(s->address) >= image->low && s->address + s->memory_size <= image->end);
        REQUIRE(s->file_size == 0 || (s->offset + s->file_size <= size && (s->address - s->offset) % GUEST_PAGE == 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static ElfImage image;
    char error[300] = "";
    ElfError result =
        elf_parse_header(&image, data, size < ELF_HEADER_BYTES ? size : ELF_HEADER_BYTES, EM_WANTED, error, sizeof error);
    REQUIRE((result == ELF_OK) == (error[0] == '\0'));
    if (result != ELF_OK) return 0;
    size_t bytes = (size_t)image.phdr_count * ELF_PHDR_BYTES;
    if (image.phdr_offset > size || bytes > size - image.phdr_offset) return 0;
    uint8_t *phdrs = malloc(bytes); // of the exact size, so that the sanitizer sees a read behind it
    if (!phdrs) return 0;
    memcpy(phdrs, data + image.phdr_offset, bytes);
    result = elf_parse_segments(&image, phdrs, size, error, sizeof error);
    free(phdrs);
    REQUIRE((result == ELF_OK) == (error[0] == '\0') && !strchr(error, '\n'));
    if (result == ELF_OK) check_image(&image, data, size);
    return 0;
}
