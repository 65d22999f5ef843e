/// Where in a network a parameter lives, under every naming at once.
///
/// A module's constructor descends the tree once and says each child's name in both layouts, so
/// that the map between them is a bijection by construction.
package struct Path {
  /// In diffusers' layout, as in `down_blocks.0.resnets.1`.
  let name: String
  /// Other spellings of the same.
  let aliases: [String]
  /// What single-file checkpoints put before the network's own names, as in
  /// `model.diffusion_model.`.
  let prefix: String
  /// In the single-file layout, behind the prefix, as in `input_blocks.2.0`.
  let singleFile: String
  /// Other spellings of the same.
  let singleFileAliases: [String]

  /// The root of a network.
  package init(
    name: String = "", aliases: [String] = [], prefix: String = "", singleFile: String = "",
    singleFileAliases: [String] = []
  ) {
    self.name = name
    self.aliases = aliases
    self.prefix = prefix
    self.singleFile = singleFile
    self.singleFileAliases = singleFileAliases
  }

  /// A child called `name` in diffusers, `singleFile` in single files (the same if not said), and
  /// `alias` in older diffusers files.
  func child(_ name: String, singleFile: String? = nil, alias: String? = nil) -> Path {
    var aliases = self.aliases.map { Path.join($0, name) }
    if let alias {
      aliases += ([self.name] + self.aliases).map { Path.join($0, alias) }
    }
    return Path(
      name: Path.join(self.name, name), aliases: aliases, prefix: prefix,
      singleFile: Path.join(self.singleFile, singleFile ?? name),
      singleFileAliases: singleFileAliases.map { Path.join($0, singleFile ?? name) })
  }

  private static func join(_ left: String, _ right: String) -> String {
    if left.isEmpty { return right }
    return right.isEmpty ? left : left + "." + right
  }
}
