import CLinux
import Synchronization

/// Work shared out among all cores, an item at a time.
package enum Cores {
  /// Cores that this process may run on.
  package static var count: Int { Int(sdk_core_count()) }

  /// Runs `body` once on each core; it takes items with `next` until there are none.
  ///
  /// - Parameters:
  ///   - progress: called now and then, on the caller's thread.
  ///   - body: its `next` gives the numbers from 0 to `count` - 1, each to one core, in order.
  /// - Throws: the first error of any core; the others stop at their next item.
  package static func share<Failure: Error>(
    _ count: Int, _ progress: (_ taken: Int) -> Void = { _ in },
    _ body: @escaping @Sendable (_ next: () -> Int?) throws(Failure) -> Void
  ) throws(Failure) {
    guard count > 0 else { return }
    let work = Work<Failure>()
    let run: @Sendable () -> Void = {
      do throws(Failure) {
        try body {
          let position = work.taken.add(1, ordering: .relaxed).oldValue
          return position < count ? position : nil
        }
      } catch {
        work.failure.withLock { $0 = $0 ?? error }
        work.taken.store(count, ordering: .relaxed)
      }
    }
    var threads: [BackgroundWork] = []
    for _ in 0..<min(count, Cores.count) {
      // Those that cannot be had are not needed: where there is none at all, this one does the work.
      let thread = BackgroundWork(run)
      if threads.isEmpty || thread.isRunning { threads.append(thread) }
      if !thread.isRunning { break }
    }
    for thread in threads {
      thread.wait(calling: { progress(min(count, work.taken.load(ordering: .relaxed))) })
    }
    if let failure = work.failure.withLock({ $0 }) { throw failure }
  }

  /// Runs `body` with the numbers from 0 to `count` - 1, on all cores.
  package static func each(
    _ count: Int, _ progress: (_ taken: Int) -> Void = { _ in },
    _ body: @escaping @Sendable (Int) -> Void
  ) {
    // Nothing is thrown in it.
    share(count, progress) { (next) throws(Never) in
      while let position = next() { body(position) }
    }
  }

  /// What the cores share.
  private final class Work<Failure: Error>: Sendable {
    let taken = Atomic(0)
    let failure = Mutex<Failure?>(nil)
  }
}
