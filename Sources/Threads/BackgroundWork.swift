import Glibc
import Synchronization

/// Work on a thread of its own, which goes on until it is waited for.
///
/// Threads of the system's are made directly: Dispatch waits for ever where none can be had. Then the
/// work is done by whoever waits for it.
package final class BackgroundWork: @unchecked Sendable {
  private let work: @Sendable () -> Void
  private var thread: pthread_t?
  private let isOver = Atomic(false)
  private var isJoined = false

  /// For what has no recursion: much less than the system's own, which small limits do not allow.
  package static let stackSize = 1 << 20

  /// Starts the work.
  ///
  /// - Parameter stackSize: in bytes.
  package init(stackSize: Int = stackSize, _ work: @escaping @Sendable () -> Void) {
    self.work = work
    let attributes = UnsafeMutablePointer<pthread_attr_t>.allocate(capacity: 1)
    defer { attributes.deallocate() }
    guard pthread_attr_init(attributes) == 0 else { return }
    defer { pthread_attr_destroy(attributes) }
    pthread_attr_setstacksize(attributes, stackSize)
    let reference = Unmanaged.passRetained(self)
    var thread = pthread_t()
    let status = pthread_create(
      &thread, attributes,
      { argument in
        guard let argument else { return nil }
        let work = Unmanaged<BackgroundWork>.fromOpaque(argument).takeRetainedValue()
        work.work()
        work.isOver.store(true, ordering: .releasing)
        return nil
      }, reference.toOpaque())
    if status == 0 { self.thread = thread } else { reference.release() }
  }

  deinit {
    if let thread, !isJoined { pthread_detach(thread) }
  }

  /// Whether it has a thread.
  package var isRunning: Bool { thread != nil }

  /// Waits for the end; may be called more than once, by the thread that began it.
  package func wait() {
    guard !isJoined else { return }
    isJoined = true
    guard let thread else {
      work()
      return
    }
    pthread_join(thread, nil)
  }

  /// Waits for the end, and calls `each` ten times a second meanwhile.
  package func wait(calling each: () -> Void) {
    guard thread != nil else { return wait() }
    // Short at first, so that small work is not kept waiting.
    var pause: UInt32 = 100
    var slept: UInt32 = 0
    while !isOver.load(ordering: .acquiring) {
      usleep(pause)
      slept += pause
      pause = min(2 * pause, 5000)
      guard slept >= 100_000 else { continue }
      slept = 0
      each()
    }
    wait()
  }
}

/// Work of which each piece begins when the one before it is over, on a thread of its own, or, where
/// none can be had, when it is handed over.
package final class SerialWork: @unchecked Sendable {
  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  private let change: UnsafeMutablePointer<pthread_cond_t>
  private var waiting: [@Sendable () -> Void] = []
  private var isBusy = false
  private var isEnded = false
  private var thread: BackgroundWork?

  package init() {
    lock = .allocate(capacity: 1)
    pthread_mutex_init(lock, nil)
    change = .allocate(capacity: 1)
    pthread_cond_init(change, nil)
  }

  deinit {
    pthread_cond_destroy(change)
    change.deallocate()
    pthread_mutex_destroy(lock)
    lock.deallocate()
  }

  /// Hands over a piece.
  package func add(_ work: @escaping @Sendable () -> Void) {
    if thread == nil { thread = BackgroundWork { [self] in run() } }
    guard thread?.isRunning == true else {
      work()
      return
    }
    pthread_mutex_lock(lock)
    waiting.append(work)
    pthread_cond_broadcast(change)
    pthread_mutex_unlock(lock)
  }

  /// Waits until nothing is left to do.
  package func drain() {
    pthread_mutex_lock(lock)
    while isBusy || !waiting.isEmpty { pthread_cond_wait(change, lock) }
    pthread_mutex_unlock(lock)
  }

  /// Does what is left, and lets the thread go; nothing is added after this.
  package func end() {
    pthread_mutex_lock(lock)
    isEnded = true
    pthread_cond_broadcast(change)
    pthread_mutex_unlock(lock)
    if thread?.isRunning == true { thread?.wait() }
    thread = nil
  }

  private func run() {
    pthread_mutex_lock(lock)
    while true {
      if let work = waiting.first {
        waiting.removeFirst()
        isBusy = true
        pthread_mutex_unlock(lock)
        work()
        pthread_mutex_lock(lock)
        isBusy = false
        pthread_cond_broadcast(change)
      } else if isEnded {
        break
      } else {
        pthread_cond_wait(change, lock)
      }
    }
    pthread_mutex_unlock(lock)
  }
}
