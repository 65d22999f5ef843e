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
    guard getenv("GOMP_SPINCOUNT") == nil, getenv("OMP_WAIT_POLICY") == nil else { return }
    var path = [CChar](repeating: 0, count: Int(PATH_MAX))
    // The path itself, so that the program keeps its name; one zero is left at the end.
    let length = readlink("/proc/self/exe", &path, path.count - 1)
    guard length > 0 else { return }
    let started = path[..<length].map { UInt8(bitPattern: $0) }
    // Where the dynamic loader was started with this program's name, that is the loader.
    guard started == ownFile, setenv("GOMP_SPINCOUNT", rounds, 1) == 0 else { return }
    // Returns only where it cannot; then all goes on as it is.
    execv(path, CommandLine.unsafeArgv)
  }

  /// The file that this code was mapped from, as the kernel names it; nil where that cannot be told.
  private static var ownFile: [UInt8]? {
    let code: @convention(c) () -> Void = {}
    let address = unsafeBitCast(code, to: UInt.self)
    guard let maps = fopen("/proc/self/maps", "re") else { return nil }
    defer { fclose(maps) }
    var line: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { free(line) }
    while true {
      let length = getline(&line, &capacity, maps)
      guard length > 0, let line else { return nil }
      // Range, rights, offset, device, inode, path; the path alone may hold spaces.
      let bytes = UnsafeRawBufferPointer(start: line, count: length)
        .prefix { $0 != UInt8(ascii: "\n") }
      let fields = bytes.split(separator: UInt8(ascii: " "), maxSplits: 5)
      guard fields.count == 6 else { continue }
      let bounds = fields[0].split(separator: UInt8(ascii: "-"))
        .compactMap { UInt(String(decoding: $0, as: UTF8.self), radix: 16) }
      guard bounds.count == 2, bounds[0] <= address, address < bounds[1] else { continue }
      return Array(fields[5].drop { $0 == UInt8(ascii: " ") })
    }
  }
}
