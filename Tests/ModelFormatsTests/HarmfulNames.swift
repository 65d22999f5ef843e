import ModelFormats

/// Names that malicious pickles used, or were shown to use: from the lists and tests of scanners
/// (picklescan, fickling, modelscan, modelaudit) and from advisories on these and on PyTorch from
/// 2023 to 2026. A module, and names in it; `x` matches any name.
enum HarmfulNames {
  static let all: [Pickle.Global] = table.split(separator: "\n").reduce(into: []) { names, line in
    let words = line.split(separator: " ")
    let isModule = !line.hasPrefix(" ")
    let module = isModule ? String(words[0].dropLast()) : names.last?.module ?? ""
    for name in words.dropFirst(isModule ? 1 : 0) {
      names.append(Pickle.Global(module: module, name: String(name)))
    }
  }

  private static let table = """
    __builtin__: __import__ apply breakpoint compile eval exec execfile getattr globals input open
      raw_input reload
    __builtins__: __import__ compile eval exec input open
    __future__: _ssl
    _aix_support: _read_cmd_output run
    _ctypes: x
    _frozen_importlib: __import__
    _frozen_importlib_external: x
    _functools: partial reduce
    _imp: create_dynamic
    _interpreters: run_string
    _io: FileIO FileIO.write TextIOWrapper.write open
    _operator: attrgetter itemgetter methodcaller
    _osx_support: _find_build_tool _read_output run
    _pickle: loads run
    _posixsubprocess: x
    _pyio: open
    _pyrepl: run
    _pyrepl.pager: pipe_pager
    _signal: x
    _sqlite3: x
    _thread: x
    _tkinter: TkappType.call TkappType.eval
    _xxsubinterpreters: run_string
    aiohttp: ClientSession
    aiohttp.client: ClientSession
    argparse: FileType _os.system
    ast: parse unparse
    asyncio: run
    asyncio.subprocess: create_subprocess_shell
    asyncio.unix_events: _UnixSubprocessTransport _UnixSubprocessTransport._start
    atexit: x
    base64: b64decode b64encode decode
    bdb: Bdb Bdb.run run
    builtins: __import__ apply breakpoint classmethod.__get__ compile delattr dir eval exec
      execfile exit filter getattr globals hasattr input locals map open property.__get__ quit
      raw_input reload setattr staticmethod vars
    cProfile: run runctx
    cloudpickle: x
    cloudpickle.cloudpickle: _builtin_type _code_reduce _function_setstate _make_cell
      _make_empty_cell _make_function subimport
    code: InteractiveInterpreter InteractiveInterpreter.runcode
    codecs: StreamReaderWriter.write decode encode open
    codeop: x
    collections: eval
    commands: run
    compileall: compile_file
    concurrent.futures: ProcessPoolExecutor ProcessPoolExecutor.map ProcessPoolExecutor.submit
      ThreadPoolExecutor ThreadPoolExecutor.submit
    contextlib: ExitStack.__exit__ ExitStack.callback ExitStack.close ExitStack.enter_context
      redirect_stdout
    contextvars: Context.run
    control_flow: x
    copyreg: add_extension remove_extension
    credentials: api_key auth authentication credential password secret
    critical_injection: x
    csv: DictWriter.writerow DictWriter.writerows
    ctypes: CDLL run
    ctypes.util: x
    dataclasses: _create_fn
    difflib: x
    dill: load load_module load_module_asdict load_session loads
    dill._dill: x
    distutils: x
    distutils.file_util: run write_file
    doctest: debug_script
    dotenv: set_key
    dotenv.main: set_key
    ensurepip: _run_pip
    environment_access: x
    execution: code command eval exec execute run script shell subprocess system
    faulthandler: _sigsegv _stack_overflow
    file_access: directory file folder load output path read save write
    filecmp: x
    fileinput: x
    ftplib: x
    functools: cache cached_property.__get__ cmp_to_key lru_cache partial reduce singledispatch
      wraps
    gc: get_objects get_referents get_referrers
    gettext: c2py
    glob: x
    global_access: x
    http: x
    httplib: HTTPSConnection run
    idlelib: x
    idlelib.autocomplete: AutoComplete AutoComplete.fetch_completions AutoComplete.get_entity
    idlelib.calltip: Calltip Calltip.fetch_tip get_entity
    idlelib.debugobj: ObjectTreeItem ObjectTreeItem.SetText
    idlelib.pyshell: ModifiedInterpreter ModifiedInterpreter.runcode
      ModifiedInterpreter.runcommand
    idlelib.run: Executive Executive.runcode
    imaplib: IMAP4_stream
    importlib: import_module
    importlib.machinery: SourceFileLoader
    importlib.util: find_spec module_from_spec
    inspect: currentframe getmembers
    io: FileIO open
    itertools: accumulate dropwhile filterfalse groupby starmap takewhile
    joblib: _pickle_load load
    lib2to3: x
    lib2to3.pgen2.grammar: Grammar Grammar.loads
    lib2to3.pgen2.pgen: ParserGenerator ParserGenerator.make_label
    linecache: x
    logging: FileHandler FileHandler.emit Logger.addHandler Logger.info StreamHandler
      StreamHandler.emit config critical info
    logging.config: dictConfig fileConfig listen
    logging.handlers: RotatingFileHandler TimedRotatingFileHandler WatchedFileHandler
    mailbox: Babyl.add mbox.add
    mailcap: findmatch
    marshal: dump dumps load loads
    mmap: x
    multiprocessing: x
    multiprocessing.pool: Pool
    multiprocessing.util: spawnv_passfds
    network_access: callback endpoint ftp host http https server socket url webhook
    nntplib: x
    nt: run
    numpy: load savetxt
    numpy.distutils: x
    numpy.f2py: run
    numpy.f2py.crackfortran: getlincoef
    numpy.lib._npyio_impl: savetxt
    numpy.testing._private.utils: run runstring
    obfuscation: x
    object_traversal: x
    operator: attrgetter call itemgetter methodcaller
    os: os run system
    pathlib: Path.open Path.write_bytes Path.write_text PosixPath.open WindowsPath.write_text
    pdb: run
    pexpect: x
    pickle: dumps load loads run
    pip: main run
    pip._internal: main
    pip._internal.cli.main: main
    pip._vendor.distlib.scripts: ScriptMaker
    pipes: Template Template.copy Template.open
    pkgutil: get_importer resolve_name walk_packages
    platform: popen system
    poplib: x
    posix: run system
    profile: Profile Profile.run Profile.runctx run
    pty: run spawn
    py_compile: x
    pydoc: locate pipepager run
    random: _os.system
    requests: x
    requests.api: get run
    resource: setrlimit
    runpy: _run_code run run_path
    sched: scheduler.enter scheduler.run
    select: x
    selectors: x
    setuptools._distutils.spawn: spawn
    shelve: x
    shutil: copy move rmtree run
    signal: x
    site: __builtins__.get addpackage addsitedir logging.config.dictConfig main os.system
    smtpd: SMTPServer
    smtplib: x
    socket: create_connection socket
    socketserver: x
    sqlite3: connect
    ssl: get_server_certificate run
    statistics: __getattribute__ mean.__globals__
    string: Formatter.get_field
    subprocess: run
    sys: exit run
    sysconfig: __dict__.get prefix.os.system
    syslog: x
    tarfile: open
    telnetlib: x
    tempfile: NamedTemporaryFile mkstemp mktemp
    test: run
    test.support.script_helper: assert_python_ok
    threading: x
    timeit: repeat run timeit
    tokenize: _builtin_open open
    torch: compile load
    torch._dynamo: x
    torch._dynamo.guards: GuardBuilder.get
    torch._inductor: x
    torch._inductor.codecache: compile_file
    torch.compile: x
    torch.distributed.elastic.rendezvous.api: basichandlers
    torch.fx.experimental.symbolic_shapes: ShapeEnv.evaluate_guards_expression
    torch.hub: load load_state_dict_from_url
    torch.jit: x
    torch.jit.unsupported_tensor_ops: execWrapper
    torch.serialization: load
    torch.utils._config_module: ConfigModule ConfigModule.load_config
    torch.utils.benchmark: Timer
    torch.utils.bottleneck.__main__: run_autograd_prof run_cprofile
    torch.utils.collect_env: run run_and_read_all
    torch.utils.data.datapipes.utils.decoder: basichandlers
    trace: Trace Trace.run Trace.runctx
    types: CodeType FrameType.f_globals.__get__ FunctionType MethodType
      WrapperDescriptorType.__get__
    typing: ForwardRef._evaluate _eval_type get_type_hints
    unittest: TestLoader.discover TestLoader.loadTestsFromName
    unittest.loader: TestLoader.discover
    unittest.mock: MagicMock Mock _get_target _patch.start patch patch.dict
    urllib: x
    urllib.request: run urlopen
    urllib2: x
    uuid: _arp_getnode _get_command_stdout _ip_getnode _netstat_getnode _popen getnode run
    venv: create run
    weakref: finalize
    webbrowser: run
    xmlrpc: x
    xmlrpc.client: ServerProxy
    xmlrpc.server: x
    yaml: CLoader CUnsafeLoader Loader UnsafeLoader load load_all unsafe_load
    yaml.loader: UnsafeLoader
    zipfile: PyZipFile ZipFile
    zipimport: x
    """
}
