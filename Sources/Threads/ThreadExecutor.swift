import Glibc

/// An executor with one thread, which stays the same: for an actor whose work is long, and would keep
/// a thread of Swift's own pool from others, or belongs to a thread, as a pool of OpenMP's does.
///
/// The thread ends when the executor is no longer used.
package final class ThreadExecutor: SerialExecutor {
  private let queue: WorkQueue
  private let thread: BackgroundWork

  /// As much as a program's first thread usually has.
  private static let stackSize = 8 << 20

  /// Starts the thread; nil if there can be no more threads.
  package init?() {
    let queue = WorkQueue()
    self.queue = queue
    thread = BackgroundWork(stackSize: Self.stackSize) { queue.run() }
    guard thread.isRunning else { return nil }
  }

  deinit {
    // Not waited for: this may be the thread itself.
    queue.end()
  }

  package func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    // Keeps the executor until the job is over, which may be what used it last.
    queue.add { [self] in job.runSynchronously(on: asUnownedSerialExecutor()) }
  }

  /// Runs a function on the thread, between an actor's jobs.
  package func run<Value: Sendable>(
    _ body: @escaping @Sendable () throws -> Value
  ) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
      queue.add { continuation.resume(with: Result(catching: body)) }
    }
  }
}

/// Work that waits for a thread.
private final class WorkQueue: @unchecked Sendable {
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let change = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var waiting: [@Sendable () -> Void] = []
  private var isEnded = false

  init() {
    pthread_mutex_init(lock, nil)
    pthread_cond_init(change, nil)
  }

  deinit {
    pthread_cond_destroy(change)
    change.deallocate()
    pthread_mutex_destroy(lock)
    lock.deallocate()
  }

  func add(_ work: @escaping @Sendable () -> Void) {
    pthread_mutex_lock(lock)
    waiting.append(work)
    pthread_cond_signal(change)
    pthread_mutex_unlock(lock)
  }

  /// Lets the thread go once nothing waits.
  func end() {
    pthread_mutex_lock(lock)
    isEnded = true
    pthread_cond_signal(change)
    pthread_mutex_unlock(lock)
  }

  /// Does what is added, in its order, until the end.
  func run() {
    while let work = next() { work() }
  }

  private func next() -> (@Sendable () -> Void)? {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    while waiting.isEmpty, !isEnded { pthread_cond_wait(change, lock) }
    return waiting.isEmpty ? nil : waiting.removeFirst()
  }
}
