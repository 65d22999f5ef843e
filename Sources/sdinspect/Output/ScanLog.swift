import Checkpoint
import ModelFormats
import OrderedJSON

/// The results of a scan as SARIF 2.1.0, for code review and CI.
///
/// Source: OASIS, Static Analysis Results Interchange Format, version 2.1.0.
enum ScanLog {
  /// A rule, and the level of its results.
  private enum Rule: String, CaseIterable {
    case dangerous = "dangerous-name"
    case unknown = "unknown-name"
    case notScanned = "not-scanned"
    case notRead = "not-read"

    var level: String {
      switch self {
      case .dangerous: "error"
      case .unknown, .notRead: "warning"
      case .notScanned: "note"
      }
    }

    var text: String {
      switch self {
      case .dangerous: "Unpickling the file runs commands, changes files, loads code or the like."
      case .unknown: "Unpickling the file imports classes or functions of which nothing is known."
      case .notScanned: "A part of the file was not looked into."
      case .notRead: "The file could not be read."
      }
    }
  }

  static func json(_ files: [FileSafety]) -> JSON {
    [
      "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
      "version": "2.1.0",
      "runs": [
        [
          "tool": [
            "driver": [
              "name": "sdinspect", "version": .string(toolVersion),
              "rules": .array(
                Rule.allCases.map { rule in
                  [
                    "id": .string(rule.rawValue),
                    "shortDescription": ["text": .string(rule.text)],
                    "defaultConfiguration": ["level": .string(rule.level)],
                  ]
                }),
            ]
          ],
          "artifacts": .array(
            files.map { ["location": ["uri": .string(uri(of: $0.path))]] }),
          "invocations": [
            ["executionSuccessful": .bool(files.allSatisfy { $0.error == nil })]
          ],
          "results": .array(files.enumerated().flatMap { results($1, index: $0) }),
          "columnKind": "unicodeCodePoints",
        ]
      ],
    ]
  }

  private static func results(_ file: FileSafety, index: Int) -> [JSON] {
    if let error = file.error {
      return [result(.notRead, error.sentence, file, index: index, offset: error.offset)]
    }
    let names = file.safety.names.map { name in
      let place = name.record.map { " in \($0)" } ?? ""
      return result(
        name.danger == nil ? .unknown : .dangerous,
        "The pickle\(place) names \(name.name)"
          + (name.danger.map { ", which \($0)." } ?? ", of which nothing is known."),
        file, index: index, offset: name.offset)
    }
    return names
      + file.safety.notes.map { result(.notScanned, $0, file, index: index, offset: nil) }
  }

  private static func result(
    _ rule: Rule, _ text: String, _ file: FileSafety, index: Int, offset: Int?
  ) -> JSON {
    var place: JSONObject = [
      "artifactLocation": ["uri": .string(uri(of: file.path)), "index": .integer(index)]
    ]
    if let offset { place["region"] = ["byteOffset": .integer(offset)] }
    return [
      "ruleId": .string(rule.rawValue),
      "ruleIndex": .integer(Rule.allCases.firstIndex(of: rule) ?? 0),
      "level": .string(rule.level),
      "message": ["text": .string(text)],
      "locations": [["physicalLocation": .object(place)]],
    ]
  }

  /// A path as a URI reference, percent-encoded.
  private static func uri(of path: String) -> String {
    var text = path.hasPrefix("/") ? "file://" : ""
    for byte in FileName.bytes(path).dropLast().map({ UInt8(bitPattern: $0) }) {
      let isPlain =
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
        || (0x61...0x7A).contains(byte) || "-._~/".utf8.contains(byte)
      if isPlain {
        text.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        let digits = String(byte, radix: 16, uppercase: true)
        text += "%" + (digits.count == 1 ? "0" : "") + digits
      }
    }
    return text
  }
}
