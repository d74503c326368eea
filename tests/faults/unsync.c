/*
 * A disk that forgets what was not synced, for LD_PRELOAD.
 *
 * For every regular file right in the folder $UNSYNC_DIR the folder $UNSYNC_SHADOW gets one of the same name, which
 * holds only what a successful fsync or fdatasync has put there. Ending the program with SIGKILL and going on from
 * the shadow is then what a power cut leaves: the writes that the kernel still had in memory are gone.
 *
 * What is written and not yet synced is kept as one range of bytes per file (by inode, since a descriptor may be
 * closed and its number used again). Only writing calls that SQLite uses are seen; memory maps are not.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* More files than a server has in the folder of its database. */
#define FILES 256

struct file {
    int used;
    dev_t dev;
    ino_t ino;
    off_t from, to; /* The bytes that were written since the last sync; none when to is 0. */
};

static struct file files[FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The next definition of a function: the C library's own. */
#define ORIGINAL(type, name) ((type)dlsym(RTLD_NEXT, name))
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);
typedef ssize_t (*write_fn)(int, const void *, size_t);
typedef int (*sync_fn)(int);
typedef int (*unlink_fn)(const char *);

static void give_up(const char *what)
{
    perror(what);
    abort();
}

/* Whether a path is right in the folder; its shadow's path is then in shadow. */
static int shadow_of(const char *path, char shadow[PATH_MAX])
{
    const char *dir = getenv("UNSYNC_DIR"), *to = getenv("UNSYNC_SHADOW");
    size_t length;

    if (dir == NULL || to == NULL)
        return 0;
    length = strlen(dir);
    if (strncmp(path, dir, length) != 0 || path[length] != '/' || strchr(path + length + 1, '/') != NULL)
        return 0;
    return snprintf(shadow, PATH_MAX, "%s%s", to, path + length) < PATH_MAX;
}

/* The same for an open file, which must be a regular one; its state is then in stat. */
static int is_watched(int fd, struct stat *stat, char shadow[PATH_MAX])
{
    char link[64], path[PATH_MAX];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = '\0';
    return shadow_of(path, shadow) && fstat(fd, stat) == 0 && S_ISREG(stat->st_mode);
}

/* The entry of a file, made if there is none. The lock is held. */
static struct file *entry(const struct stat *stat)
{
    struct file *free_one = NULL;

    for (int i = 0; i < FILES; i++) {
        if (files[i].used && files[i].dev == stat->st_dev && files[i].ino == stat->st_ino)
            return &files[i];
        if (!files[i].used && free_one == NULL)
            free_one = &files[i];
    }
    if (free_one == NULL)
        give_up("unsync: too many files");
    *free_one = (struct file){ .used = 1, .dev = stat->st_dev, .ino = stat->st_ino };
    return free_one;
}

static void note_write(int fd, off_t from, off_t to)
{
    char shadow[PATH_MAX];
    struct stat stat;
    struct file *file;

    if (!is_watched(fd, &stat, shadow))
        return;
    pthread_mutex_lock(&lock);
    file = entry(&stat);
    if (file->to == 0 || from < file->from)
        file->from = from;
    if (to > file->to)
        file->to = to;
    pthread_mutex_unlock(&lock);
}

/* Brings the shadow of a file up to date. The lock is held. */
static void copy_to_shadow(int fd, struct file *file, const char *shadow)
{
    char buffer[1 << 16];
    struct stat stat;
    int out = open(shadow, O_WRONLY | O_CREAT, 0600);

    if (out < 0)
        give_up("unsync: the shadow");
    for (off_t at = file->from; at < file->to;) {
        size_t want = (size_t)(file->to - at) < sizeof buffer ? (size_t)(file->to - at) : sizeof buffer;
        ssize_t got = pread(fd, buffer, want, at);
        if (got < 0)
            give_up("unsync: read");
        if (got == 0)
            break; /* It was cut meanwhile. */
        if (ORIGINAL(pwrite_fn, "pwrite64")(out, buffer, (size_t)got, at) != got)
            give_up("unsync: write");
        at += got;
    }
    if (fstat(fd, &stat) != 0 || ftruncate(out, stat.st_size) != 0)
        give_up("unsync: length");
    close(out);
    file->from = file->to = 0;
}

static int after_sync(int fd, int result)
{
    char shadow[PATH_MAX];
    struct stat stat;

    if (result == 0 && is_watched(fd, &stat, shadow)) {
        pthread_mutex_lock(&lock);
        copy_to_shadow(fd, entry(&stat), shadow);
        pthread_mutex_unlock(&lock);
    }
    return result;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at)
{
    ssize_t wrote = ORIGINAL(pwrite_fn, "pwrite64")(fd, bytes, length, at);

    if (wrote > 0)
        note_write(fd, at, at + wrote);
    return wrote;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at)
{
    return pwrite64(fd, bytes, length, at);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    ssize_t wrote = ORIGINAL(write_fn, "write")(fd, bytes, length);
    off_t end;

    if (wrote > 0 && fd > STDERR_FILENO && (end = lseek(fd, 0, SEEK_CUR)) >= 0)
        note_write(fd, end - wrote, end);
    return wrote;
}

int fsync(int fd)
{
    return after_sync(fd, ORIGINAL(sync_fn, "fsync")(fd));
}

int fdatasync(int fd)
{
    return after_sync(fd, ORIGINAL(sync_fn, "fdatasync")(fd));
}

/* At once, as if the folder were synced: what SQLite removes it must not need any more. */
int unlink(const char *path)
{
    char shadow[PATH_MAX];
    struct stat stat;
    int known = lstat(path, &stat) == 0 && shadow_of(path, shadow);
    int result = ORIGINAL(unlink_fn, "unlink")(path);

    if (result == 0 && known) {
        pthread_mutex_lock(&lock);
        entry(&stat)->used = 0;
        pthread_mutex_unlock(&lock);
        ORIGINAL(unlink_fn, "unlink")(shadow);
    }
    return result;
}
