import Glibc
import Synchronization
import Testing
import Threads

/// Enough concurrent work on our own threads for the thread sanitizer to see each handover:
/// `make sanitize SANITIZER=thread`.
struct StressTests {
  struct Stop: Error, Equatable {
    let item: Int
  }

  /// A counter without a lock, which only order protects.
  private final class Unprotected: @unchecked Sendable {
    var values: [Int] = []
  }

  @Test func everyItemIsTakenOnce() {
    for count in [1, 2, 3, 1000, 20_000] {
      let taken = UnsafeMutablePointer<Int>.allocate(capacity: count)
      taken.initialize(repeating: 0, count: count)
      defer { taken.deallocate() }
      // Each item belongs to one core, so that no write needs a lock.
      nonisolated(unsafe) let items = taken
      Cores.each(count) { items[$0] += $0 + 1 }
      #expect((0..<count).allSatisfy { taken[$0] == $0 + 1 })
    }
    Cores.each(0) { _ in Issue.record("there is no item") }
  }

  @Test func theFirstErrorStopsTheOthers() {
    let done = Atomic(0)
    for _ in 0..<200 {
      done.store(0, ordering: .relaxed)
      #expect(throws: Stop(item: 7)) {
        try Cores.share(1_000_000) { (next) throws(Stop) in
          while let item = next() {
            if item == 7 { throw Stop(item: item) }
            done.add(1, ordering: .relaxed)
          }
        }
      }
      #expect(done.load(ordering: .relaxed) < 1_000_000)
    }
  }

  @Test func progressIsCalledOnTheCallersThread() {
    let caller = pthread_self()
    var calls = 0
    var last = 0
    Cores.share(3) { taken in
      calls += 1
      #expect(pthread_equal(pthread_self(), caller) != 0)
      #expect(taken >= last)
      last = taken
    } _: { (next) throws(Never) in
      while next() != nil { usleep(150_000) }
    }
    #expect(calls > 0)
  }

  /// Writes by the work are visible to whoever waited for it, without a lock.
  @Test func waitingHandsOverWhatWasWritten() {
    for round in 0..<500 {
      let box = Unprotected()
      let work = BackgroundWork { box.values = Array(0..<round) }
      round.isMultiple(of: 2) ? work.wait() : work.wait(calling: {})
      work.wait()
      #expect(box.values == Array(0..<round))
    }
  }

  /// Work that nobody waits for keeps what it needs, and ends.
  @Test func abandonedWorkEnds() {
    let ended = Ended()
    for _ in 0..<100 { _ = BackgroundWork { ended.count.add(1, ordering: .releasing) } }
    for _ in 0..<5000 where ended.count.load(ordering: .acquiring) < 100 { usleep(1000) }
    #expect(ended.count.load(ordering: .acquiring) == 100)
  }

  private final class Ended: Sendable {
    let count = Atomic(0)
  }

  @Test func serialWorkKeepsItsOrder() {
    for round in 0..<50 {
      let serial = SerialWork()
      let box = Unprotected()
      for item in 0..<200 {
        // No lock: pieces follow one another.
        serial.add { box.values.append(item) }
        if item.isMultiple(of: 50) {
          serial.drain()
          #expect(box.values.count == item + 1)
        }
      }
      if round.isMultiple(of: 2) { serial.drain() }
      serial.end()
      #expect(box.values == Array(0..<200))
    }
  }

  /// Several callers at once, as conversions and verifications are in one process.
  @Test func callersDoNotDisturbEachOther() {
    let sums = Sums()
    let callers = (0..<4).map { caller in
      BackgroundWork {
        for _ in 0..<20 {
          let sum = Sums()
          Cores.each(500) { sum.total.add($0, ordering: .relaxed) }
          #expect(sum.total.load(ordering: .relaxed) == 124_750)
          sums.total.add(caller, ordering: .relaxed)
        }
      }
    }
    for caller in callers { caller.wait() }
    #expect(sums.total.load(ordering: .relaxed) == 120)
  }

  private final class Sums: Sendable {
    let total = Atomic(0)
  }
}
