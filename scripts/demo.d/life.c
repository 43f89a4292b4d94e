// Conway's Life on a torus: where a glider is after so many generations.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 64, GENERATIONS = 30000 };
static unsigned char field[SIZE][SIZE], next[SIZE][SIZE];

static int neighbours(int y, int x) {
    int n = -field[y][x];
    for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++) n += field[(y + dy + SIZE) % SIZE][(x + dx + SIZE) % SIZE];
    return n;
}

int main(void) {
    static const char glider[3][4] = {".#.", "..#", "###"};
    for (int y = 0; y < 3; y++)
        for (int x = 0; x < 3; x++) field[y][x] = glider[y][x] == '#';
    for (int g = 0; g < GENERATIONS; g++) {
        for (int y = 0; y < SIZE; y++)
            for (int x = 0; x < SIZE; x++) {
                int n = neighbours(y, x);
                next[y][x] = n == 3 || (n == 2 && field[y][x]);
            }
        memcpy(field, next, sizeof field);
    }
    int alive = 0;
    printf("compiled by gcc %s; pointers of %zu bytes\n", __VERSION__, sizeof(void *));
    for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++)
            if (field[y][x]) printf("%s(%d,%d)", alive++ ? " " : "", x, y);
    printf(": %d cells after %d generations\n", alive, GENERATIONS);
    return alive == 5 ? EXIT_SUCCESS : EXIT_FAILURE;
}
