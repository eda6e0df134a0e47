/* A disk whose power can be cut, and whose n-th operation can fail. Loaded into the host and the agent by
 * LD_PRELOAD; it sees what they do to files under HEYHO_DISK_DIR and writes it down in HEYHO_DISK_LOG, one
 * file that all of them have mapped (format: `struct head`, then records; disk.rs reads it).
 *
 * - What is done is written down before it is done, in the order in which it is done: both under one lock.
 *   A process killed between has said what it would have done, which a disk may have got or not.
 * - A sync is not done, only written down, after a short while: what was written before its beginning is safe
 *   from its end on.
 * - `-shm` is memory: not written down. Its operations can fail.
 * - No file of SQLite's is opened or closed here: that would drop its locks.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, SYNC_FAILED, UNLINK, RENAME, DIR_SYNC };

struct head {
  uint64_t used;       /* where the next record goes */
  uint64_t operations; /* those of the mask, counted */
  uint64_t fail_at;    /* the first that fails; 0: none */
  uint64_t fail_errno;
  uint64_t fail_ever;  /* 1: all from there on fail */
  uint64_t fail_mask;  /* bits of the kinds that count and fail */
  uint64_t failed;     /* how many have failed */
  uint64_t sync_us;    /* the longest that a sync takes */
  uint64_t left;       /* so many records until the power goes; 0: it stays on */
  uint64_t off;        /* 1: it has gone; nobody gets any further */
};

struct record {
  uint64_t kind, inode, offset, length; /* then `length` bytes, filled up to eight */
};

enum { NOT_OURS = 0, A_FILE, MEMORY, A_DIRECTORY };
#define FDS 4096
static struct { uint8_t what; uint64_t inode; } fds[FDS];

static struct head *head;
static size_t capacity;
static int log_fd = -1;
static char dir[4096];
static size_t dir_length;
static pthread_mutex_t threads = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void) {
  const char *d = getenv("HEYHO_DISK_DIR"), *l = getenv("HEYHO_DISK_LOG");
  if (!d || !l) return;
  snprintf(dir, sizeof dir, "%s", d);
  dir_length = strlen(dir);
  int fd = REAL(open)(l, O_RDWR | O_CLOEXEC);
  struct stat s;
  if (fd < 0 || fstat(fd, &s)) { perror("the log of the disk"); _exit(98); }
  capacity = s.st_size;
  head = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (head == MAP_FAILED) { perror("the log of the disk"); _exit(98); }
  log_fd = fd;
}

static void lock(void) {
  pthread_mutex_lock(&threads);
  while (flock(log_fd, LOCK_EX) && errno == EINTR) {}
}

static void unlock(void) {
  flock(log_fd, LOCK_UN);
  pthread_mutex_unlock(&threads);
}

/* Under the lock. Where it stands. */
static uint64_t note(uint64_t kind, uint64_t inode, uint64_t offset, const void *bytes, uint64_t length) {
  struct record r = {kind, inode, offset, length};
  uint64_t at = head->used, size = sizeof r + ((length + 7) & ~7ULL);
  if (at + size > capacity) { fprintf(stderr, "the log of the disk is full\n"); _exit(97); }
  memcpy((char *)head + at, &r, sizeof r);
  if (length) memcpy((char *)head + at + sizeof r, bytes, length);
  __sync_synchronize();
  head->used = at + size; /* a record that a kill cuts short does not count */
  if (head->left && !--head->left) {
    head->off = 1;
    for (;;) pause(); /* with the lock: all others wait for it, until all are killed */
  }
  return at;
}

/* Under the lock. Whether this operation is to fail, with errno set. */
static int fails(uint64_t kind) {
  if (!(head->fail_mask >> kind & 1)) return 0;
  uint64_t n = ++head->operations;
  if (!head->fail_at || n < head->fail_at || (n > head->fail_at && !head->fail_ever)) return 0;
  head->failed++;
  errno = head->fail_errno;
  return 1;
}

static int what(int fd) { return head && fd >= 0 && fd < FDS ? fds[fd].what : NOT_OURS; }

static int under(const char *path) {
  return head && path && !strncmp(path, dir, dir_length) && (path[dir_length] == '/' || !path[dir_length]);
}

static int ends(const char *path, const char *end) {
  size_t a = strlen(path), b = strlen(end);
  return a >= b && !strcmp(path + a - b, end);
}

static int opened(int (*how)(const char *, int, ...), const char *path, int flags, mode_t mode) {
  if (!under(path)) {
    int fd = how(path, flags, mode);
    if (head && fd >= 0 && fd < FDS) fds[fd].what = NOT_OURS;
    return fd;
  }
  int memory = ends(path, "-shm");
  lock();
  struct stat s;
  int fresh = (flags & O_CREAT) && lstat(path, &s);
  int fd = fresh && fails(OPEN) ? -1 : how(path, flags, mode);
  if (fd >= 0 && fd < FDS && !fstat(fd, &s)) {
    fds[fd].what = S_ISDIR(s.st_mode) ? A_DIRECTORY : memory ? MEMORY : A_FILE;
    fds[fd].inode = s.st_ino;
    if (fds[fd].what == A_FILE) {
      note(OPEN, s.st_ino, 0, path, strlen(path));
      if (flags & O_TRUNC) note(TRUNCATE, s.st_ino, 0, NULL, 0);
    }
  }
  int e = errno;
  unlock();
  errno = e;
  return fd;
}

#define MODE(flags) \
  mode_t mode = 0; \
  if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list a; va_start(a, flags); mode = va_arg(a, mode_t); va_end(a); }
int open(const char *path, int flags, ...) { MODE(flags) return opened(REAL(open), path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(REAL(open64), path, flags, mode); }
int openat(int at, const char *path, int flags, ...) {
  MODE(flags)
  if (at == AT_FDCWD) return opened(REAL(open), path, flags, mode);
  return REAL(openat)(at, path, flags, mode);
}
int openat64(int at, const char *path, int flags, ...) {
  MODE(flags)
  if (at == AT_FDCWD) return opened(REAL(open64), path, flags, mode);
  return REAL(openat64)(at, path, flags, mode);
}

int close(int fd) {
  if (what(fd)) fds[fd].what = NOT_OURS;
  return REAL(close)(fd);
}

/* offset -1: where the file stands. A write that fails has written half. */
static ssize_t written(int fd, const void *bytes, size_t length, off_t offset) {
  lock();
  int file = what(fd) == A_FILE;
  off_t at = offset;
  if (at < 0) at = fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
  int failing = fails(WRITE), e = errno;
  size_t n = failing ? length / 2 : length;
  if (file && n) note(WRITE, fds[fd].inode, at, bytes, n);
  ssize_t done = n ? (offset < 0 ? REAL(write)(fd, bytes, n) : REAL(pwrite)(fd, bytes, n, offset)) : 0;
  if (!failing) e = errno;
  unlock();
  errno = e;
  return failing ? -1 : done;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  int w = what(fd);
  return w == A_FILE || w == MEMORY ? written(fd, bytes, length, -1) : REAL(write)(fd, bytes, length);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  int w = what(fd);
  return w == A_FILE || w == MEMORY ? written(fd, bytes, length, offset) : REAL(pwrite)(fd, bytes, length, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) { return pwrite(fd, bytes, length, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
  int w = what(fd);
  if (w != A_FILE && w != MEMORY) return REAL(writev)(fd, parts, count);
  return count ? write(fd, parts[0].iov_base, parts[0].iov_len) : 0; /* a short write: the caller goes on */
}

int ftruncate(int fd, off_t length) {
  int w = what(fd);
  if (w != A_FILE && w != MEMORY) return REAL(ftruncate)(fd, length);
  lock();
  int r = -1;
  if (!fails(TRUNCATE)) {
    if (w == A_FILE) note(TRUNCATE, fds[fd].inode, length, NULL, 0);
    r = REAL(ftruncate)(fd, length);
  }
  int e = errno;
  unlock();
  errno = e;
  return r;
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

static int synced(int fd) {
  lock();
  uint64_t inode = fds[fd].inode, kind = fds[fd].what == A_DIRECTORY ? DIR_SYNC : SYNC_END;
  if (fails(SYNC_END)) {
    int e = errno;
    if (kind == SYNC_END) note(SYNC_FAILED, inode, 0, NULL, 0);
    unlock();
    errno = e;
    return -1;
  }
  uint64_t from = note(SYNC_BEGIN, inode, 0, NULL, 0), most = head->sync_us;
  unlock();
  /* What follows is not cut off from what came before at the same moment: a disk takes its time. */
  if (most) usleep((from / 8 * 2654435761u) % most);
  lock();
  note(kind, inode, from, NULL, 0);
  unlock();
  return 0;
}
int fsync(int fd) { return what(fd) == A_FILE || what(fd) == A_DIRECTORY ? synced(fd) : REAL(fsync)(fd); }
int fdatasync(int fd) { return what(fd) == A_FILE || what(fd) == A_DIRECTORY ? synced(fd) : REAL(fdatasync)(fd); }

int unlink(const char *path) {
  if (!under(path)) return REAL(unlink)(path);
  lock();
  int r = -1;
  if (!fails(UNLINK)) {
    struct stat s;
    if (!ends(path, "-shm") && !lstat(path, &s)) note(UNLINK, 0, 0, path, strlen(path));
    r = REAL(unlink)(path);
  }
  int e = errno;
  unlock();
  errno = e;
  return r;
}

/* By its folder, as whole folders are removed. */
int unlinkat(int at, const char *path, int flags) {
  char by[64], folder[4096], whole[8192];
  if (!head || flags & AT_REMOVEDIR) return REAL(unlinkat)(at, path, flags);
  if (at == AT_FDCWD || *path == '/') return unlink(path);
  snprintf(by, sizeof by, "/proc/self/fd/%d", at);
  ssize_t n = readlink(by, folder, sizeof folder - 1);
  if (n < 0) return REAL(unlinkat)(at, path, flags);
  folder[n] = 0;
  snprintf(whole, sizeof whole, "%s/%s", folder, path);
  return unlink(whole);
}

int rename(const char *from, const char *to) {
  if (!under(from) || !under(to)) return REAL(rename)(from, to);
  lock();
  int r = -1;
  if (!fails(RENAME)) {
    struct stat s;
    char both[8192];
    if (!lstat(from, &s)) {
      int n = snprintf(both, sizeof both, "%s%c%s", from, 0, to);
      note(RENAME, 0, 0, both, n);
    }
    r = REAL(rename)(from, to);
  }
  int e = errno;
  unlock();
  errno = e;
  return r;
}

/* Copying is done by reading and writing, which is seen. */
ssize_t copy_file_range(int a, off64_t *b, int c, off64_t *d, size_t e, unsigned f) {
  (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
  errno = ENOSYS;
  return -1;
}
ssize_t sendfile64(int a, int b, off64_t *c, size_t d) {
  (void)a, (void)b, (void)c, (void)d;
  errno = ENOSYS;
  return -1;
}
