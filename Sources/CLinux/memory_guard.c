#define _GNU_SOURCE
#include "memory_guard.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static char sentence[2048];
static size_t sentence_size;
static int end_status;
static void (*clean_up)(void);

static const int signals[] = {SIGABRT, SIGILL, SIGTRAP, SIGSEGV};
enum { signal_count = sizeof signals / sizeof *signals };
static struct sigaction former[signal_count];

static int can_map(size_t size) {
  void *const memory =
    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 0;
  munmap(memory, size);
  return 1;
}

static int is_limited(int resource) {
  struct rlimit limit;
  return getrlimit(resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

// Whether memory has run out. Under a limit, tries to allocate as much as the larger allocations.
static int is_memory_out(void) {
  const int limited = is_limited(RLIMIT_AS) || is_limited(RLIMIT_DATA);
  return !can_map(limited ? (size_t)256 << 20 : (size_t)8 << 20);
}

static void on_end(int number, siginfo_t *info, void *context) {
  (void)context;
  if (is_memory_out()) {
    if (clean_up) clean_up();
    // If writing fails, nothing can be reported.
    if (write(STDERR_FILENO, sentence, sentence_size) < 0) {}
    _exit(end_status);
  }
  for (int i = 0; i < signal_count; i++)
    if (signals[i] == number) sigaction(number, &former[i], NULL);
  // A fault recurs when its instruction is executed again; a trap's instruction has already passed.
  if (info->si_code <= 0 || number == SIGTRAP) raise(number);
}

void sdk_memory_guard_install(const char *text, int status, void (*clean)(void)) {
  sentence_size = strnlen(text, sizeof sentence);
  memcpy(sentence, text, sentence_size);
  end_status = status;
  clean_up = clean;
  struct sigaction action = {
    .sa_sigaction = on_end, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < signal_count; i++) {
    sigaction(signals[i], NULL, &former[i]);
    if (!(former[i].sa_flags & SA_SIGINFO) && former[i].sa_handler == SIG_IGN) continue;
    sigaction(signals[i], &action, NULL);
  }
}
