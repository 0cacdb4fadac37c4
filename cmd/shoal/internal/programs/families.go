package programs

// Families names the kinds of system API, in the order of the bits of
// [Program.APIs].
func Families() []string {
	out := make([]string, len(families))
	for i, f := range families {
		out[i] = f.name
	}
	return out
}

// A family is one kind of API: the functions that belong to it, by name or by
// the beginning of the name.
type family struct {
	name     string
	symbols  string // names, separated by spaces
	prefixes string // beginnings of names, separated by spaces
}

// families follows the headers of POSIX and the C library: each name below
// is declared in a header of that subject. The table is data for a demonstration; a
// function that is missing here only makes a bit 0.
var families = [...]family{
	{
		name: "network",
		symbols: "socket socketpair bind listen accept accept4 connect shutdown send sendto sendmsg sendmmsg recv recvfrom recvmsg " +
			"recvmmsg getsockname getpeername getsockopt setsockopt inet_pton inet_ntop inet_addr inet_aton inet_ntoa htons htonl " +
			"ntohs ntohl if_nametoindex if_indextoname getifaddrs freeifaddrs herror hstrerror gai_strerror",
		prefixes: "getaddrinfo freeaddrinfo getnameinfo gethostby getservby getprotoby getnetby sethostent res_ __res_ curl_ SSL_ WSA nl_socket mnl_socket",
	},
	{
		name:     "threads",
		symbols:  "thrd_create thrd_join mtx_lock mtx_unlock cnd_wait cnd_signal futex CreateThread",
		prefixes: "pthread_ _ZNSt6thread omp_ GOMP_ g_thread_ uv_thread_ dispatch_",
	},
	{
		name: "files",
		symbols: "open open64 openat openat64 __open_2 __open64_2 __openat_2 creat close read write pread pread64 pwrite pwrite64 lseek lseek64 " +
			"fopen fopen64 freopen freopen64 fdopen fclose fread fwrite fseek fseeko ftell stat stat64 lstat lstat64 fstat fstat64 fstatat fstatat64 statx " +
			"access faccessat rename renameat renameat2 unlink unlinkat link linkat symlink symlinkat readlink readlinkat mkdir mkdirat rmdir " +
			"opendir fdopendir readdir readdir64 closedir scandir nftw ftw chmod fchmod fchmodat chown fchown lchown fchownat truncate ftruncate " +
			"fsync fdatasync utime utimes utimensat futimens mkstemp mkstemp64 mkostemp mkdtemp tmpfile realpath getcwd chdir fchdir chroot umask " +
			"flock statfs fstatfs statvfs mount umount umount2 sendfile copy_file_range splice remove glob fnmatch CreateFileW ReadFile WriteFile",
		prefixes: "inotify_ posix_fallocate posix_fadvise fallocate",
	},
	{
		name: "processes",
		symbols: "fork vfork clone execv execve execvp execvpe execl execlp execle fexecve system popen pclose wait wait3 wait4 waitpid waitid " +
			"_exit daemon getpid getppid setsid getsid setpgid getpgid getpgrp setpgrp nice getpriority setpriority getrlimit setrlimit prlimit " +
			"getrusage ptrace prctl unshare setns CreateProcessW",
		prefixes: "posix_spawn sched_ g_spawn_ cap_",
	},
	{
		name: "memory",
		symbols: "mmap mmap64 munmap mprotect mremap madvise mlock munlock mlockall msync mincore brk sbrk posix_memalign aligned_alloc memalign " +
			"malloc_usable_size mallopt mallinfo mallinfo2 malloc_trim memfd_create VirtualAlloc",
		prefixes: "numa_ mbind",
	},
	{
		name: "time",
		symbols: "time gettimeofday settimeofday clock clock_gettime clock_settime clock_getres clock_nanosleep nanosleep sleep usleep alarm " +
			"localtime localtime_r gmtime gmtime_r mktime timegm strftime strptime asctime ctime ctime_r difftime tzset setitimer getitimer times " +
			"ftime adjtimex ntp_adjtime",
		prefixes: "timer_ timerfd_ _ZNSt6chrono",
	},
	{
		name:     "random",
		symbols:  "rand rand_r srand random srandom initstate random_r drand48 erand48 lrand48 mrand48 srand48 getrandom getentropy RAND_bytes",
		prefixes: "arc4random _ZNSt13random_device g_random_ gsl_rng",
	},
	{
		name: "locale",
		symbols: "setlocale newlocale uselocale freelocale localeconv nl_langinfo nl_langinfo_l gettext dgettext dcgettext ngettext dcngettext " +
			"textdomain bindtextdomain bind_textdomain_codeset catopen catgets strcoll strxfrm wcscoll mbrtowc mbtowc wcrtomb wcwidth wcswidth mbstowcs wcstombs",
		prefixes: "iconv ucnv_ uloc_ u_str libintl_",
	},
	{
		name: "terminal",
		symbols: "isatty ttyname ttyname_r tcgetattr tcsetattr tcflush tcdrain tcsendbreak tcgetpgrp tcsetpgrp cfsetspeed cfgetospeed cfsetispeed " +
			"cfsetospeed openpty forkpty login_tty getpass setupterm tgetent tgetstr tputs tparm tigetstr tigetnum initscr endwin wrefresh newterm readline " +
			"add_history ctermid posix_openpt grantpt unlockpt ptsname cfmakeraw",
		prefixes: "rl_ wattr wmove wadd mvw",
	},
	{
		name: "users",
		symbols: "getuid geteuid getgid getegid setuid seteuid setgid setegid setreuid setregid setresuid setresgid getresuid getresgid " +
			"getgroups setgroups initgroups getlogin getlogin_r crypt crypt_r getgrouplist",
		prefixes: "getpw getgr getsp getsg setpw setgr setsp endpw endgr endsp putpw putgr putsp fgetpw fgetgr pam_",
	},
	{
		name: "ipc",
		symbols: "pipe pipe2 mkfifo mkfifoat shmget shmat shmdt shmctl shm_open shm_unlink semget semop semctl msgget msgsnd msgrcv msgctl " +
			"eventfd poll ppoll select pselect epoll_create epoll_create1 epoll_ctl epoll_wait kqueue kevent",
		prefixes: "sem_ mq_ dbus_ sd_bus_ g_dbus_ g_bus_",
	},
	{
		name:     "dynamic_loading",
		symbols:  "dlopen dlmopen dlsym dlvsym dlclose dlerror dladdr dl_iterate_phdr LoadLibraryW GetProcAddress",
		prefixes: "lt_dl g_module_",
	},
	{
		name: "signals",
		symbols: "signal sigaction sigprocmask sigsuspend sigpending sigwait sigwaitinfo sigtimedwait sigaltstack sigqueue kill killpg raise " +
			"sigemptyset sigfillset sigaddset sigdelset sigismember strsignal psignal signalfd siglongjmp sigsetjmp __sigsetjmp sigignore sighold pause bsd_signal",
		prefixes: "__libc_current_sigrt",
	},
	{
		name: "math",
		symbols: "sin cos tan asin acos atan atan2 sinh cosh tanh exp exp2 expm1 log log2 log10 log1p pow sqrt cbrt hypot floor ceil round trunc rint " +
			"lround llround lrint fmod remainder modf frexp ldexp fabs fmax fmin erf erfc tgamma lgamma nearbyint sincos floorf ceilf sqrtf powf expf logf " +
			"sinf cosf fmodf roundf lrintf",
		prefixes: "__gmpz_ __gmp_ mpfr_ cblas_ fegetround fesetround",
	},
	{
		name:     "crypto",
		symbols:  "RAND_status",
		prefixes: "EVP_ SHA1_ SHA256_ SHA512_ MD5_ AES_ RSA_ HMAC_ X509_ PEM_ BN_ EC_ ERR_get_error gcry_ gnutls_ nettle_ sodium_ crypto_ gpgme_ mbedtls_ PK11_ NSS_ BCrypt CC_SHA",
	},
	{
		name: "strings",
		symbols: "strlen strnlen strcmp strncmp strcasecmp strncasecmp strcpy strncpy strcat strncat strchr strrchr strstr strcasestr strdup strndup " +
			"strtok strtok_r strsep strspn strcspn strpbrk strtol strtoul strtoll strtoull strtod strtof strtold atoi atol atof memchr memmem " +
			"regcomp regexec regfree regerror stpcpy strlcpy strlcat strchrnul",
		prefixes: "__strcpy_chk __strcat_chk __strncpy_chk __strncat_chk __stpcpy_chk wcs pcre_ pcre2_ __isoc99_sscanf sscanf",
	},
}
