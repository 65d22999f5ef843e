import CKernels
import Glibc
import Testing

extension EngineTests {
  /// Processes with a limited number of threads.
  struct ThreadLimitTests {
    /// Each computing thread has its own pool, and accounts for the other pools' threads. In its
    /// own process, since limits are per process.
    @Test func everyThreadCountsItsOwn() async {
      await #expect(processExitsWith: .exitCode(7)) {
        // The superuser has no such limit.
        guard getuid() != 0 || setuid(65532) == 0, let tasks = opendir("/proc/self/task") else {
          exit(2)
        }
        var count: UInt = 0
        while let entry = readdir(tasks) { if entry.pointee.d_name.0 != 46 { count += 1 } }
        var limit = rlimit(rlim_cur: count + 4, rlim_max: count + 4)
        guard setrlimit(__rlimit_resource_t(__RLIMIT_NPROC.rawValue), &limit) == 0 else { exit(3) }
        func compute() -> Int {
          sdk_set_threads(16)
          var sums = [Int](repeating: 0, count: 64)
          sums.withUnsafeMutableBufferPointer { sums in
            sdk_parallel(
              64, 1,
              { context, begin, end, _ in
                let sums = context!.assumingMemoryBound(to: Int.self)
                for index in begin..<end { sums[index] = index }
              }, sums.baseAddress)
          }
          return sums.reduce(0, +)
        }
        guard compute() == 2016 else { exit(5) }
        // libgomp would exit with status 1 if the second thread relied on the first one's count.
        var thread = pthread_t()
        let status = pthread_create(
          &thread, nil,
          { _ in
            sdk_set_threads(16)
            sdk_parallel(64, 1, { _, _, _, _ in usleep(100) }, nil)
            return nil
          }, nil)
        guard status == 0, pthread_join(thread, nil) == 0, compute() == 2016 else { exit(6) }
        exit(7)
      }
    }
  }
}
