import Glibc
import ModelFormats
import OrderedJSON

/// What unpickling one file would run, whatever the file is.
public struct FileSafety: Sendable {
  public let path: String
  /// What the file is, told by its content; nil where it could not be read.
  public let format: String?
  public let safety: Safety
  /// Why it could not be read.
  public let error: FormatError?

  /// Looks a file through.
  public init(_ path: String) {
    self.path = path
    do throws(FormatError) {
      let scan = try TensorFile.scan(path)
      format = scan.format
      var safety = scan.safety
      if path.hasSuffix(".py") {
        safety.add(note: "Python source: it is code, and was not looked into")
      }
      self.safety = safety
      error = nil
    } catch {
      format = nil
      safety = Safety()
      self.error = error.inFile(path)
    }
  }

  private init(_ error: FormatError) {
    path = error.file ?? ""
    format = nil
    safety = Safety()
    self.error = error
  }

  /// How deep folders may lie in one another.
  private static let depthLimit = 64

  /// Looks through a file, or through all files of a directory and those below it. Links to
  /// directories are not followed.
  ///
  /// - Parameter visit: called with each file, in the order of their paths.
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
        } else if !isLink {
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
  /// What unpickling its files would run: those that were read, and other formats and variants of the
  /// same weights that lie beside them.
  public var safety: Safety {
    var safety = findings.safety
    for other in unreadWeights {
      let found = FileSafety("\(path)/\(other.path)").safety
      if found.verdict > .safe { safety.add(found, file: other.path) }
    }
    return safety
  }
}

extension Verification {
  /// Classes and functions that pickles name.
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
    // Files that are not read leave nothing of this checkpoint unchecked.
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
  /// Names with commas between them, each once.
  fileprivate static func list(_ names: [String]) -> String {
    var seen: Set<ExactName> = []
    return names.filter { seen.insert(ExactName($0)).inserted }.joined(separator: ", ")
  }
}
