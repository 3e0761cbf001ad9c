/* Copyright 2026 The gan_diffusion authors.
   SPDX-License-Identifier: Apache-2.0

   Loaded by LD_PRELOAD: counts the calls that change files below a folder, and ends the process before one of them. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[4096];
static long limit = -1, seen;

/* Counts from now on, and kills before call number `number`; 0 kills never. */
void crash_arm(const char *path, long number) {
    strncpy(folder, path, sizeof folder - 1);
    seen = 0;
    limit = number;
}

long crash_seen(void) { return seen; }

static void count(const char *path) {
    if (limit < 0 || strncmp(path, folder, strlen(folder)) != 0) return;
    if (__atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST) == limit) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

static void count_fd(int fd) {
    char link[64], path[4096];
    if (limit < 0) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size > 0) {
        path[size] = 0;
        count(path);
    }
}

static void count_at(int fd, const char *name) {
    char link[64], path[8192];
    if (limit < 0 || name == NULL) return;
    if (name[0] == '/') {
        count(name);
        return;
    }
    if (fd == AT_FDCWD) strcpy(link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, 4000);
    if (size > 0) {
        snprintf(path + size, sizeof path - size, "/%.4000s", name);
        count(path);
    }
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define PATH(name, arguments, place, path, call) int name arguments { count_at(place, path); return NEXT(name) call; }
#define FD(type, name, arguments, fd, call) type name arguments { count_fd(fd); return NEXT(name) call; }
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list list; va_start(list, flags); mode_t mode = va_arg(list, mode_t); va_end(list); \
        if (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) count_at(AT_FDCWD, path); \
        return NEXT(name)(path, flags, mode); }
#define OPENAT(name) \
    int name(int fd, const char *path, int flags, ...) { \
        va_list list; va_start(list, flags); mode_t mode = va_arg(list, mode_t); va_end(list); \
        if (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) count_at(fd, path); \
        return NEXT(name)(fd, path, flags, mode); }
#define FOPEN(name) \
    FILE *name(const char *path, const char *mode) { \
        if (strpbrk(mode, "wa+")) count_at(AT_FDCWD, path); \
        return NEXT(name)(path, mode); }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
FOPEN(fopen)
FOPEN(fopen64)
PATH(creat, (const char *p, mode_t m), AT_FDCWD, p, (p, m))
PATH(creat64, (const char *p, mode_t m), AT_FDCWD, p, (p, m))
PATH(mkdir, (const char *p, mode_t m), AT_FDCWD, p, (p, m))
PATH(mkdirat, (int f, const char *p, mode_t m), f, p, (f, p, m))
PATH(rmdir, (const char *p), AT_FDCWD, p, (p))
PATH(unlink, (const char *p), AT_FDCWD, p, (p))
PATH(unlinkat, (int f, const char *p, int g), f, p, (f, p, g))
PATH(remove, (const char *p), AT_FDCWD, p, (p))
PATH(rename, (const char *p, const char *q), AT_FDCWD, q, (p, q))
PATH(renameat, (int f, const char *p, int g, const char *q), g, q, (f, p, g, q))
PATH(renameat2, (int f, const char *p, int g, const char *q, unsigned int h), g, q, (f, p, g, q, h))
PATH(link, (const char *p, const char *q), AT_FDCWD, q, (p, q))
PATH(linkat, (int f, const char *p, int g, const char *q, int h), g, q, (f, p, g, q, h))
PATH(symlink, (const char *p, const char *q), AT_FDCWD, q, (p, q))
PATH(symlinkat, (const char *p, int g, const char *q), g, q, (p, g, q))
PATH(truncate, (const char *p, off_t n), AT_FDCWD, p, (p, n))
PATH(truncate64, (const char *p, off64_t n), AT_FDCWD, p, (p, n))
PATH(chmod, (const char *p, mode_t m), AT_FDCWD, p, (p, m))
PATH(fchmodat, (int f, const char *p, mode_t m, int g), f, p, (f, p, m, g))
PATH(utimensat, (int f, const char *p, const struct timespec t[2], int g), f, p, (f, p, t, g))
FD(int, fchmod, (int f, mode_t m), f, (f, m))
FD(int, ftruncate, (int f, off_t n), f, (f, n))
FD(int, ftruncate64, (int f, off64_t n), f, (f, n))
FD(int, fallocate, (int f, int m, off_t o, off_t n), f, (f, m, o, n))
FD(int, posix_fallocate, (int f, off_t o, off_t n), f, (f, o, n))
FD(int, fsync, (int f), f, (f))
FD(int, fdatasync, (int f), f, (f))
FD(ssize_t, write, (int f, const void *b, size_t n), f, (f, b, n))
FD(ssize_t, writev, (int f, const struct iovec *v, int n), f, (f, v, n))
FD(ssize_t, pwrite, (int f, const void *b, size_t n, off_t o), f, (f, b, n, o))
FD(ssize_t, pwrite64, (int f, const void *b, size_t n, off64_t o), f, (f, b, n, o))
FD(ssize_t, pwritev, (int f, const struct iovec *v, int n, off_t o), f, (f, v, n, o))
FD(ssize_t, sendfile, (int g, int f, off_t *o, size_t n), g, (g, f, o, n))
FD(ssize_t, sendfile64, (int g, int f, off64_t *o, size_t n), g, (g, f, o, n))
FD(ssize_t, copy_file_range, (int f, off64_t *o, int g, off64_t *p, size_t n, unsigned int h), g, (f, o, g, p, n, h))
