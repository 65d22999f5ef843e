import Glibc

/// How long a thread of libgomp's pool spins at the end of a layer before it sleeps.
enum ThreadWaiting {
  /// Rounds of the loop: some microseconds, which is longer than pieces of a layer differ, and much
  /// shorter than the milliseconds for which another program takes a core.
  private static let rounds = "1000"

  /// Lets threads spin for less than libgomp's 300,000 rounds, in which they take the core from the
  /// very thread that they wait for where another program is at work.
  ///
  /// libgomp reads the number when it is loaded, which the engine does when it first needs threads.
  /// Called before the program has threads, since `setenv` is not safe beside other threads that read the
  /// environment. If the user has set GOMP_SPINCOUNT or OMP_WAIT_POLICY, that holds.
  static func shorten() {
    guard getenv("OMP_WAIT_POLICY") == nil else { return }
    setenv("GOMP_SPINCOUNT", rounds, 0)
  }
}
