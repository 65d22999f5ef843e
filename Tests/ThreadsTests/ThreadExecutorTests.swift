import Foundation
import Testing
import Threads

/// An actor on a thread of its own.
@Suite struct ThreadExecutorTests {
  actor Counter {
    private nonisolated let thread: ThreadExecutor
    private var count = 0

    init(_ thread: ThreadExecutor) { self.thread = thread }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    func next() -> (count: Int, thread: UInt) {
      count += 1
      return (count, pthread_self())
    }
  }

  /// All calls run on the one thread, none is lost, and functions run there too.
  @Test func staysOnOneThread() async throws {
    let executor = try #require(ThreadExecutor())
    let counter = Counter(executor)
    let threads = await withTaskGroup(of: UInt.self) { group in
      for _ in 0..<200 { group.addTask { await counter.next().thread } }
      return await group.reduce(into: Set<UInt>()) { $0.insert($1) }
    }
    #expect(threads.count == 1)
    #expect(await counter.next().count == 201)
    #expect(try await executor.run { pthread_self() } == threads.first)
    #expect(try await executor.run { pthread_self() } != pthread_self())
    await #expect(throws: CancellationError.self) {
      try await executor.run { throw CancellationError() }
    }
  }

  /// Executors come and go with their actors, and their threads with them.
  @Test func threadsEnd() async throws {
    func threadCount() throws -> Int {
      try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count
    }
    let before = try threadCount()
    for _ in 0..<300 {
      let counter = Counter(try #require(ThreadExecutor()))
      #expect(await counter.next().count == 1)
    }
    // Some of the last may not be over; other tests' threads come and go.
    for _ in 0..<200 where try threadCount() > before + 100 {
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(try threadCount() <= before + 100)
  }
}
