// The pool of threads that oneDNN runs on too: that of the OpenMP runtime, without which there is one
// thread.
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "kernels.h"
#include "threads/openmp.h"

typedef struct {
  sdk_body body;
  void *context;
  size_t count, grain;
  sdk_isa isa;
  const sdk_openmp *openmp;
  atomic_size_t next;
} region;

// Pieces are taken as threads come free, which evens out cores that other processes disturb.
static void take_pieces(void *data) {
  region *r = data;
  const int thread = r->openmp->omp_get_thread_num();
  // The pool's threads serve callers of every level.
  sdk_isa_force(r->isa);
  for (;;) {
    const size_t piece = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
    if (piece * r->grain >= r->count) return;
    const size_t begin = piece * r->grain;
    const size_t end = r->count - begin < r->grain ? r->count : begin + r->grain;
    r->body(r->context, begin, end, thread);
  }
}

// libgomp ends the program with status 1 where it cannot make a thread. So as many are made first as
// it would, all at once, and it is asked for no more than there could be.
enum { most_threads = 1024 };

typedef struct {
  pthread_mutex_t lock;
  pthread_cond_t opened;
  int is_open;
} gate;

static void *wait_for_opening(void *data) {
  gate *g = data;
  pthread_mutex_lock(&g->lock);
  while (!g->is_open) pthread_cond_wait(&g->opened, &g->lock);
  pthread_mutex_unlock(&g->lock);
  return NULL;
}

static void do_nothing(void *data) { (void)data; }

// How many of `wanted` more threads there can be at once.
static int count_threads(int wanted) {
  static pthread_t threads[most_threads];
  gate g = {.lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER, .is_open = 0};
  int made = 0;
  while (made < wanted && made < most_threads
         && pthread_create(&threads[made], NULL, wait_for_opening, &g) == 0)
    made++;
  pthread_mutex_lock(&g.lock);
  g.is_open = 1;
  pthread_cond_broadcast(&g.opened);
  pthread_mutex_unlock(&g.lock);
  for (int i = 0; i < made; i++) pthread_join(threads[i], NULL);
  return made;
}

// libgomp has a pool for each thread that calls it, which holds what the last region used: so many are
// there already, and only what is wanted beyond them is counted. Counting is one thread's at a time,
// until its pool is made, lest two count the same room. What a smaller region let go of is made anew
// by the next larger one, uncounted; other processes may have taken that room by then.
static int available_threads(const sdk_openmp *openmp, int wanted) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static _Thread_local int known = 1, is_all = 0;
  // A region inside another is done by its thread alone.
  if (wanted <= 1 || openmp->omp_get_level() > 0) return 1;
  if (wanted > most_threads) wanted = most_threads;
  if (known >= wanted) return wanted;
  if (is_all) return known;
  pthread_mutex_lock(&lock);
  // All that are known are made before others are counted.
  if (known > 1) openmp->GOMP_parallel(do_nothing, NULL, (unsigned)known, 0);
  int count = known + count_threads(wanted - known);
  if (count < wanted) {
    // Room for what other processes make meanwhile.
    count = count - 1 > known ? count - 1 : known;
    is_all = 1;
  }
  known = count;
  // libgomp keeps its threads: they are made now, before memory goes to other things.
  if (count > 1) openmp->GOMP_parallel(do_nothing, NULL, (unsigned)count, 0);
  pthread_mutex_unlock(&lock);
  return count;
}

void sdk_set_threads(int count) {
  const sdk_openmp *openmp = sdk_openmp_runtime();
  if (openmp) openmp->omp_set_num_threads(available_threads(openmp, count > 0 ? count : 1));
}

// The threads of the next region; one where there is no runtime.
static int count_of(const sdk_openmp *openmp) {
  return openmp ? available_threads(openmp, openmp->omp_get_max_threads()) : 1;
}

int sdk_threads(void) { return count_of(sdk_openmp_runtime()); }

void sdk_parallel(size_t count, size_t grain, sdk_body body, void *context) {
  if (count == 0) return;
  if (grain == 0) grain = 1;
  const size_t pieces = (count - 1) / grain + 1;
  region r = {
    .body = body, .context = context, .count = count, .grain = grain, .isa = sdk_isa_current(),
    .openmp = pieces > 1 ? sdk_openmp_runtime() : NULL};
  atomic_init(&r.next, 0);
  size_t threads = (size_t)count_of(r.openmp);
  if (threads > pieces) threads = pieces;
  if (threads <= 1) {
    // Same pieces as with many threads, so that sums come out the same.
    for (size_t begin = 0; begin < count; begin += grain)
      body(context, begin, count - begin < grain ? count : begin + grain, 0);
    return;
  }
  r.openmp->GOMP_parallel(take_pieces, &r, (unsigned)threads, 0);
}
