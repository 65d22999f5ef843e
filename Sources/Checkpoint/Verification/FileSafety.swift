import Glibc
import ModelFormats
import OrderedJSON

/// What unpickling one file of any kind would run.
public struct FileSafety: Sendable {
  /// The file.
  public let path: String
  /// The kind of file, detected from its content; nil if it could not be read.
  public let format: String?
  /// What unpickling it would run.
  public let safety: Safety
  /// Why it could not be read.
  public let error: FormatError?

  /// Scans a file.
  public init(_ path: String) {
    self.path = path
    do throws(FormatError) {
      let scan = try TensorFile.scan(path)
      format = scan.format
      safety = scan.safety
      error = nil
    } catch {
      format = nil
      safety = Safety()
      self.error = error.inFile(path)
    }
  }

  /// A link to a directory, which is not followed.
  private init(link path: String) {
    self.path = path
    format = FormatDescriptor.directory.name
    var safety = Safety()
    safety.add(note: "a link to a directory, which was not followed")
    self.safety = safety
    error = nil
  }

  private init(_ error: FormatError) {
    path = error.file ?? ""
    format = nil
    safety = Safety()
    self.error = error
  }

  /// The maximum depth of directories.
  private static let depthLimit = 64

  /// Scans a file, or all files in a directory and below. Links to directories are reported and not
  /// followed.
  ///
  /// - Parameter visit: called with each file, in order of path.
  public static func scan(_ path: String, _ visit: (FileSafety) -> Void) {
    scan(path, depth: 0, visit)
  }

  private static func scan(_ path: String, depth: Int, _ visit: (FileSafety) -> Void) {
    do throws(FormatError) {
      guard let directory = try Directory(path: path) else { return visit(FileSafety(path)) }
      guard depth < depthLimit else {
        throw FormatError(
          .inputOutput, "the folder lies more than \(depthLimit) folders deep; it was not read",
          file: path)
      }
      for name in directory.entries {
        let inner = "\(directory.path)/\(name)"
        var status = stat()
        guard lstat(inner, &status) == 0 else {
          visit(FileSafety(FormatError(.notFound, "the file cannot be read", file: inner)))
          continue
        }
        var isLink = false
        if status.st_mode & S_IFMT == S_IFLNK {
          isLink = true
          guard stat(inner, &status) == 0 else {
            visit(FileSafety(inner))
            continue
          }
        }
        if status.st_mode & S_IFMT != S_IFDIR {
          visit(FileSafety(inner))
        } else if isLink {
          visit(FileSafety(link: inner))
        } else {
          scan(inner, depth: depth + 1, visit)
        }
      }
    } catch {
      visit(FileSafety(error.inFile(path)))
    }
  }

  /// The form that `sdinspect scan --json` prints.
  package var json: JSON {
    var object: JSONObject = [
      "path": .string(path), "format": format.map { .string($0) } ?? .null,
      "verdict": error == nil ? .string(safety.verdict.rawValue) : .null,
    ]
    for member in safety.json.object?.members ?? [] where member.key != "verdict" {
      object[member.key] = member.value
    }
    if let error {
      object["error"] = [
        "code": .string(error.code.rawValue), "message": .string(error.sentence),
      ]
    }
    return .object(object)
  }
}

extension ModelCheckpoint {
  /// What unpickling its files would run: those that were read, and all others in its directory and
  /// below. Hidden files and links to directories do not belong to a model.
  public var safety: Safety {
    var safety = findings.safety
    guard layout == .repository || layout == .component else { return safety }
    let read = Set(components.flatMap { $0.files + [$0.path] })
    var paths: [String] = []
    if !ModelCheckpoint.find(path, depth: 0, &paths) {
      safety.add(note: "the folder holds more files than were searched")
    }
    let prefix = path.hasSuffix("/") ? path : path + "/"
    for other in paths where !read.contains(other) {
      let found = FileSafety(other).safety
      // Source code is not unpickled; `scan` reports it.
      if found.names.isEmpty, other.lowercased().hasSuffix(".py") { continue }
      let name = other.hasPrefix(prefix) ? String(other.dropFirst(prefix.count)) : other
      if found.verdict > .safe { safety.add(found, file: name) }
    }
    return safety
  }

  private static let fileLimit = 4096
  private static let depthLimit = 8

  /// The files in a directory and below; false if there are more than are scanned.
  private static func find(_ path: String, depth: Int, _ paths: inout [String]) -> Bool {
    guard let directory = try? Directory(path: path) else { return true }
    guard depth < depthLimit else { return directory.isEmpty }
    for name in directory.files {
      guard paths.count < fileLimit else { return false }
      paths.append("\(directory.path)/\(name)")
    }
    for name in directory.directories {
      let inner = "\(directory.path)/\(name)"
      var status = stat()
      guard lstat(inner, &status) == 0, depth == 0 || status.st_mode & S_IFMT != S_IFLNK else {
        continue
      }
      guard find(inner, depth: depth + 1, &paths) else { return false }
    }
    return true
  }
}

extension Verification {
  /// Checks classes and functions in pickles.
  mutating func checkSafety(of checkpoint: ModelCheckpoint) {
    safety = checkpoint.safety
    let dangerous = safety.dangerous
    if !dangerous.isEmpty {
      problems.append(
        "the file contains code: its pickle references "
          + FileSafety.list(
            dangerous.map { name in
              name.file.map { "\(name.name) in \($0)" } ?? name.name
            }))
    }
    let own = checkpoint.findings.safety
    if !own.unknown.isEmpty {
      unchecked.append(
        "unknown classes in the pickle: " + FileSafety.list(own.unknown.map(\.name)))
    }
    unchecked += own.notes
    // Unread files leave nothing of this checkpoint unchecked.
    let others = safety.unknown.filter { $0.file != nil }
    if !others.isEmpty {
      notes.append(
        "unknown classes in files that are not read: "
          + FileSafety.list(others.map { "\($0.name) in \($0.file ?? "")" }))
    }
    notes += safety.notes.filter { !own.notes.contains($0) }
  }
}

extension FileSafety {
  /// Names separated by commas, each once.
  fileprivate static func list(_ names: [String]) -> String {
    var seen: Set<ExactName> = []
    return names.filter { seen.insert(ExactName($0)).inserted }.joined(separator: ", ")
  }
}
