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

  /// A child called `name` in diffusers and `singleFile` in single files (the same if not said), and
  /// in some files by other names: `aliases` in diffusers' layout, `singleFileAliases` in the other.
  func child(
    _ name: String, singleFile: String? = nil, aliases: [String] = [],
    singleFileAliases: [String] = []
  ) -> Path {
    let single = singleFile ?? name
    return Path(
      name: Path.join(self.name, name),
      aliases: Path.spellings(self.name, self.aliases, name, aliases), prefix: prefix,
      singleFile: Path.join(self.singleFile, single),
      singleFileAliases: Path.spellings(
        self.singleFile, self.singleFileAliases, single, singleFileAliases))
  }

  /// The other names of a child: its usual name below the parent's others, then its own others below
  /// each of the parent's names.
  private static func spellings(
    _ parent: String, _ parents: [String], _ child: String, _ children: [String]
  ) -> [String] {
    parents.map { join($0, child) }
      + children.flatMap { child in ([parent] + parents).map { join($0, child) } }
  }

  private static func join(_ left: String, _ right: String) -> String {
    if left.isEmpty { return right }
    return right.isEmpty ? left : left + "." + right
  }
}
