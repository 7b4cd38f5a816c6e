/* Makes the disk slow, or makes it fail while a trigger file exists, for files below one folder, and sets the clock;
 * preloaded into the server.
 *
 *   FAULT_DIR    the folder
 *   FAULT_SLOW   microseconds that every write takes longer than it would
 *   FAULT_SYNC   while this file exists, fsync and fdatasync fail with EIO
 *   FAULT_SPACE  while this file exists, writes fail with ENOSPC
 *   FAULT_CLOCK  a file with the seconds that the clock of the wall is ahead, or behind if negative; looked at again
 *                after 20 ms
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static int is_below(int fd) {
    const char *dir = getenv("FAULT_DIR");
    char link[64], path[PATH_MAX];
    if (!dir) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return strncmp(path, dir, strlen(dir)) == 0;
}

static int fails(const char *trigger, int fd) {
    int before = errno;
    const char *path = getenv(trigger);
    int yes = path && access(path, F_OK) == 0 && is_below(fd);
    errno = before;
    return yes;
}

static void drag(int fd) {
    const char *slow = getenv("FAULT_SLOW");
    if (slow && is_below(fd)) usleep((useconds_t)atoi(slow));
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_IF(trigger, fd, code) if (fails(trigger, fd)) { errno = code; return -1; }
#define WRITING(fd) FAIL_IF("FAULT_SPACE", fd, ENOSPC) drag(fd)

int fsync(int fd) { FAIL_IF("FAULT_SYNC", fd, EIO); return REAL(fsync)(fd); }
int fdatasync(int fd) { FAIL_IF("FAULT_SYNC", fd, EIO); return REAL(fdatasync)(fd); }
ssize_t write(int fd, const void *b, size_t n) { WRITING(fd); return REAL(write)(fd, b, n); }
ssize_t writev(int fd, const struct iovec *v, int n) { WRITING(fd); return REAL(writev)(fd, v, n); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t at) { WRITING(fd); return REAL(pwrite)(fd, b, n, at); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t at) { WRITING(fd); return REAL(pwrite64)(fd, b, n, at); }

static long ahead_s(void) {
    static __thread long seconds, looked_ms = -1000;
    const char *path = getenv("FAULT_CLOCK");
    struct timespec now;
    if (!path || REAL(clock_gettime)(CLOCK_MONOTONIC, &now) != 0) return 0;
    long ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (ms - looked_ms < 20) return seconds;
    looked_ms = ms;
    int before = errno;
    FILE *file = fopen(path, "r");
    long read = 0;
    if (file && fscanf(file, "%ld", &read) == 1) seconds = read;
    if (file) fclose(file);
    errno = before;
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = REAL(clock_gettime)(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += ahead_s();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int result = REAL(gettimeofday)(now, zone);
    if (result == 0) now->tv_sec += ahead_s();
    return result;
}

time_t time(time_t *out) {
    time_t now = REAL(time)(NULL) + ahead_s();
    if (out) *out = now;
    return now;
}

int timespec_get(struct timespec *now, int base) {
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

/* Who waits for an instant of the wall's clock waits for this clock to show it, as with a real one that jumps. */
static int slice_until(const struct timespec *until, struct timespec *slice) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    long left_ms = (until->tv_sec - now.tv_sec) * 1000 + (until->tv_nsec - now.tv_nsec) / 1000000;
    if (left_ms <= 0) return 0;
    REAL(clock_gettime)(CLOCK_REALTIME, slice);
    slice->tv_nsec += (left_ms < 50 ? left_ms : 50) * 1000000;
    if (slice->tv_nsec >= 1000000000) {
        slice->tv_sec++;
        slice->tv_nsec -= 1000000000;
    }
    return 1;
}

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until) {
    static __typeof__(&pthread_cond_timedwait) wait;
    struct timespec slice;
    /* Beside the usual one there may be one of before 2.3.2, which dlsym can find first. */
    if (!wait) wait = (__typeof__(wait))dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!wait) wait = REAL(pthread_cond_timedwait);
    if (!getenv("FAULT_CLOCK")) return wait(cond, mutex, until);
    while (slice_until(until, &slice)) {
        int result = wait(cond, mutex, &slice);
        if (result != ETIMEDOUT) return result;
    }
    return ETIMEDOUT;
}

int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict until) {
    struct timespec slice;
    if (!getenv("FAULT_CLOCK")) return REAL(cnd_timedwait)(cond, mutex, until);
    while (slice_until(until, &slice)) {
        int result = REAL(cnd_timedwait)(cond, mutex, &slice);
        if (result != thrd_timedout) return result;
    }
    return thrd_timedout;
}
