#define _GNU_SOURCE
#include "mapping_guard.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

// The limit of open files is 1,024 almost everywhere.
enum { place_count = 4096 };

// A slot is free if `state` is 0, being filled or emptied if 1, and in use if 2. `changes` is odd
// while the following fields change. `begin` is 0 outside of use.
typedef struct {
  atomic_int state;
  atomic_uint changes;
  atomic_int is_writable;
  atomic_int is_lost;
  atomic_uintptr_t begin;
  atomic_uintptr_t end;
} place;

static place places[place_count];
// One beyond the highest slot that was ever in use.
static atomic_int places_used;
static struct sigaction former;
static uintptr_t page_size;

_Static_assert(ATOMIC_POINTER_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "a handler of a signal must not lock");

// Maps zeros from the page of `address` on; 0 if no mapping of the table contains the address.
static int replace_rest(uintptr_t address) {
  const int used = atomic_load_explicit(&places_used, memory_order_acquire);
  for (int i = 0; i < used; i++) {
    place *p = &places[i];
    const unsigned changes = atomic_load(&p->changes);
    const uintptr_t begin = atomic_load(&p->begin), end = atomic_load(&p->end);
    const int is_writable = atomic_load(&p->is_writable);
    if (begin == 0 || address < begin || address >= end) continue;
    // Another thread may be reusing this slot, so that the values read belong to two mappings. The
    // mapping of the address itself stays: its thread is here.
    if (changes % 2 != 0 || atomic_load(&p->changes) != changes) continue;
    atomic_store(&p->is_lost, 1);
    const uintptr_t page = address & ~(page_size - 1);
    const int rights = PROT_READ | (is_writable ? PROT_WRITE : 0);
    return mmap((void *)page, end - page, rights,
                MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
           != MAP_FAILED;
  }
  return 0;
}

static void on_fault(int number, siginfo_t *info, void *context) {
  const int saved = errno;
  // A signal from another process is not about an address.
  const int is_fault = info->si_code > 0 && info->si_code != SI_KERNEL;
  if (is_fault && replace_rest((uintptr_t)info->si_addr)) {
    errno = saved;
    return;
  }
  if (former.sa_flags & SA_SIGINFO) {
    former.sa_sigaction(number, info, context);
  } else if (former.sa_handler == SIG_IGN && !is_fault) {
    // Ignored before, ignored now; the kernel does not allow faults to be ignored.
  } else if (former.sa_handler == SIG_DFL || former.sa_handler == SIG_IGN) {
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigemptyset(&usual.sa_mask);
    sigaction(SIGBUS, &usual, NULL);
    // A fault recurs when its instruction is executed again.
    if (!is_fault) raise(SIGBUS);
  } else {
    former.sa_handler(number);
  }
  errno = saved;
}

int sdk_guard_install(void) {
  static atomic_flag is_installed = ATOMIC_FLAG_INIT;
  if (atomic_flag_test_and_set(&is_installed)) return 0;
  page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
  // The former handler is known before the new one can run.
  if (sigaction(SIGBUS, NULL, &former) != 0) return -1;
  // On the thread's alternate stack if it has one; not blocked, so that a previous handler may
  // leave with a jump, as without this one.
  struct sigaction action = {
    .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};
  sigemptyset(&action.sa_mask);
  return sigaction(SIGBUS, &action, NULL);
}

int sdk_guard_add(const void *base, long long size, int is_writable) {
  for (int i = 0; i < place_count; i++) {
    place *p = &places[i];
    int expected = 0;
    if (!atomic_compare_exchange_strong(&p->state, &expected, 1)) continue;
    atomic_fetch_add(&p->changes, 1);
    atomic_store(&p->is_lost, 0);
    atomic_store(&p->is_writable, is_writable);
    atomic_store(&p->end, (uintptr_t)base + (uintptr_t)size);
    atomic_store(&p->begin, (uintptr_t)base);
    atomic_fetch_add(&p->changes, 1);
    int used = atomic_load(&places_used);
    while (used <= i && !atomic_compare_exchange_weak(&places_used, &used, i + 1)) {}
    atomic_store(&p->state, 2);
    return i;
  }
  return -1;
}

void sdk_guard_remove(int index) {
  if (index < 0 || index >= place_count) return;
  place *p = &places[index];
  atomic_store(&p->state, 1);
  atomic_fetch_add(&p->changes, 1);
  atomic_store(&p->begin, 0);
  atomic_fetch_add(&p->changes, 1);
  atomic_store(&p->state, 0);
}

int sdk_guard_is_lost(int index) {
  if (index < 0 || index >= place_count) return 0;
  return atomic_load_explicit(&places[index].is_lost, memory_order_acquire);
}
