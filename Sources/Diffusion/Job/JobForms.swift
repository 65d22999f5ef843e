import Pictures

// The forms of a job's texts: noise levels, shares, sides, tiles, paths.

extension SigmaSpacing {
  /// A spacing's name, or falling numbers with commas; nil for anything else.
  package init?(text: String) {
    if let named = Self(name: text) {
      self = named
      return
    }
    var levels = text.split(separator: ",", omittingEmptySubsequences: false).map { Double($0) }
    // The 0 after the last step is optional.
    if levels.count > 1, levels.last == 0 { levels.removeLast() }
    let numbers = levels.compactMap { $0 }
    guard numbers.count == levels.count, numbers.count <= 1000,
      numbers.allSatisfy({ $0 > 0 && $0 <= 1e4 }),
      zip(numbers, numbers.dropFirst()).allSatisfy({ $0 > $1 })
    else { return nil }
    self = .list(numbers)
  }

  /// The names for help texts, with the web UI's name if ours is an abbreviation.
  static var namesWithMeaning: String {
    named.map { named in
      named.webUIName.lowercased() == named.name
        ? named.name : "\(named.name) (\(named.webUIName))"
    }.joined(separator: ", ")
  }
}

extension SchedulerDescriptor {
  /// What eta does, by scheduler.
  static var etaMeanings: String {
    all.compactMap { scheduler in scheduler.eta.map { "for \(scheduler.name), \($0.meaning)" } }
      .joined(separator: "; ")
  }

  /// The value of eta if none is given, by scheduler.
  static var etaDefaults: String {
    all.compactMap { scheduler in
      scheduler.eta.map { "\(scheduler.name) \(JobField.plain(Double("\($0.defaultValue)") ?? 0))" }
    }.joined(separator: ", ")
  }
}

/// Two shares with a colon between them, 0 to 1.
package struct ShareInterval: Sendable, Hashable {
  package let shares: ClosedRange<Double>

  package init?(text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, let from = Double(parts[0]), let to = Double(parts[1]),
      (0...1).contains(from), (0...1).contains(to), from < to
    else { return nil }
    shares = from...to
  }
}

extension SeedSize {
  /// Width and height with an x between them.
  package init?(text: String) {
    let sides = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    guard sides.count == 2, let width = sides[0], let height = sides[1],
      [width, height].allSatisfy({ (8...8192).contains($0) && $0 % 8 == 0 })
    else { return nil }
    self.init(width: width, height: height)
  }
}

extension VAETiling {
  /// `auto`, `off`, or pixels.
  package init?(text: String) {
    switch text {
    case "auto": self = .automatic
    case "off": self = .off
    default:
      guard let pixels = Int(text), (256...8192).contains(pixels), pixels % 8 == 0 else {
        return nil
      }
      self = .tiles(pixels)
    }
  }
}

extension Image.Padding {
  /// Four numbers with commas: left, top, right, bottom.
  package init?(text: String) {
    let sides = text.split(separator: ",", omittingEmptySubsequences: false).compactMap { Int($0) }
    guard sides.count == 4, text.split(separator: ",", omittingEmptySubsequences: false).count == 4,
      sides.allSatisfy({ (0...4096).contains($0) && $0 % 8 == 0 }),
      sides.contains(where: { $0 > 0 })
    else { return nil }
    self.init(left: sides[0], top: sides[1], right: sides[2], bottom: sides[3])
  }
}

/// The parts of a file's path.
package enum PicturePath {
  /// A path before the full stop of its ending, and from there on.
  package static func split(_ path: String) -> (stem: String, ending: String) {
    let name = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
    guard let dot = path[name...].lastIndex(of: "."), dot != name else { return (path, "") }
    return (String(path[..<dot]), String(path[dot...]))
  }

  /// What follows the last slash.
  package static func name(_ path: String) -> String {
    path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
  }
}
