import Glibc

/// How long a thread of libgomp's pool spins at the end of a layer before it sleeps.
enum ThreadWaiting {
  /// Rounds of the loop: some microseconds, which is longer than pieces of a layer differ, and much
  /// shorter than the milliseconds for which another program takes a core.
  private static let rounds = "1000"

  /// Lets threads spin for less than libgomp's 300,000 rounds, in which they take the core from the
  /// very thread that they wait for where another program is at work.
  ///
  /// libgomp reads the number when it is loaded, before any code of this program runs, so the
  /// program starts itself once more. Called before anything is read or written. Where the person
  /// has set GOMP_SPINCOUNT or OMP_WAIT_POLICY, that holds.
  static func shorten() {
    guard getenv("GOMP_SPINCOUNT") == nil, getenv("OMP_WAIT_POLICY") == nil,
      setenv("GOMP_SPINCOUNT", rounds, 1) == 0
    else { return }
    var path = [CChar](repeating: 0, count: Int(PATH_MAX))
    // The path itself, so that the program keeps its name; one zero is left at the end.
    guard readlink("/proc/self/exe", &path, path.count - 1) > 0 else { return }
    // Returns only where it cannot; then all goes on as it is.
    execv(path, CommandLine.unsafeArgv)
  }
}
