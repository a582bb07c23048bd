"""Machine code between two calling conventions: the bytes of each routine, with its mnemonics.

The program calls with Microsoft's x64 convention, on a stack of its own; Python is called with System V's, on the
stack of its thread.  Every stack of the program ends (its highest address) at a multiple of STACK_BLOCK, and the
last word of that block holds the stack pointer to go back to.  Of what System V lets a callee change, Microsoft's keeps
rsi, rdi and xmm6 to xmm15.
"""

STACK_BLOCK = 0x20000

# enter(rdi function, rsi first, rdx second, rcx top of its stack) -> rax: calls into the program.
ENTER = """
55                            ; push rbp
53                            ; push rbx
41 54                         ; push r12
41 55                         ; push r13
41 56                         ; push r14
41 57                         ; push r15
50                            ; push rax
0f ae 1c 24                   ; stmxcsr [rsp]
4c 8d 61 ff                   ; lea r12, [rcx-1]
49 81 cc ff ff 01 00          ; or r12, 0x1ffff
49 83 ec 07                   ; sub r12, 7
41 ff 34 24                   ; push [r12]
49 89 24 24                   ; mov [r12], rsp
48 89 e3                      ; mov rbx, rsp
68 80 1f 00 00                ; push 0x1f80
0f ae 14 24                   ; ldmxcsr [rsp]
48 8d 61 e0                   ; lea rsp, [rcx-32]
48 89 f1                      ; mov rcx, rsi
ff d7                         ; call rdi
48 89 dc                      ; mov rsp, rbx
41 8f 04 24                   ; pop [r12]
0f ae 14 24                   ; ldmxcsr [rsp]
59                            ; pop rcx
41 5f                         ; pop r15
41 5e                         ; pop r14
41 5d                         ; pop r13
41 5c                         ; pop r12
5b                            ; pop rbx
5d                            ; pop rbp
c3                            ; ret
"""

# All thunks end here, eax the number of the service: stores the register arguments in their home places, so that
# all lie in a row, goes over to the thread's own stack and calls ADDRESS(number, arguments).
SERVICE = """
48 89 4c 24 08                ; mov [rsp+8], rcx
48 89 54 24 10                ; mov [rsp+16], rdx
4c 89 44 24 18                ; mov [rsp+24], r8
4c 89 4c 24 20                ; mov [rsp+32], r9
55                            ; push rbp
48 89 e5                      ; mov rbp, rsp
57                            ; push rdi
56                            ; push rsi
49 89 e2                      ; mov r10, rsp
49 81 ca ff ff 01 00          ; or r10, 0x1ffff
49 8b 62 f9                   ; mov rsp, [r10-7]
48 83 e4 f0                   ; and rsp, -16
48 81 ec 10 02 00 00          ; sub rsp, 528
48 0f ae 04 24                ; fxsave64 [rsp]
c7 84 24 00 02 00 00 80 1f 00 00  ; mov dword ptr [rsp+512], 0x1f80
0f ae 94 24 00 02 00 00       ; ldmxcsr [rsp+512]
89 c7                         ; mov edi, eax
48 8d 75 10                   ; lea rsi, [rbp+16]
48 b8 ADDRESS                 ; movabs rax, ADDRESS
ff d0                         ; call rax
48 0f ae 0c 24                ; fxrstor64 [rsp]
48 8d 65 f0                   ; lea rsp, [rbp-16]
5e                            ; pop rsi
5f                            ; pop rdi
5d                            ; pop rbp
c3                            ; ret
"""

# sched_yield(2), for the program to call on any stack: of what it changes, Microsoft's convention keeps nothing.
GIVE_WAY = """
b8 18 00 00 00                ; mov eax, 24
0f 05                         ; syscall (sched_yield)
c3                            ; ret
"""

# handler(rdi signal, rsi siginfo, rdx ucontext): notes what faulted and where in the words at ADDRESS (the last is rax,
# the number of a system call that was refused), then ends the process with 3, for there is nothing to go back to.
FAULT = """
48 b8 ADDRESS                 ; mov rax, ADDRESS
48 89 38                      ; mov [rax], rdi
48 63 4e 08                   ; movsxd rcx, dword ptr [rsi+8]
48 89 48 08                   ; mov [rax+8], rcx
48 8b 4e 10                   ; mov rcx, [rsi+16]
48 89 48 10                   ; mov [rax+16], rcx
48 8b 8a a8 00 00 00          ; mov rcx, [rdx+168]
48 89 48 18                   ; mov [rax+24], rcx
48 8b 8a 90 00 00 00          ; mov rcx, [rdx+144]
48 89 48 20                   ; mov [rax+32], rcx
bf 03 00 00 00                ; mov edi, 3
b8 e7 00 00 00                ; mov eax, 231
0f 05                         ; syscall (exit_group)
"""

# handler(): stays here for good.
STOP = """
b8 22 00 00 00                ; mov eax, 34
0f 05                         ; syscall (pause)
eb f7                         ; jmp to the beginning
"""


def assemble(listing: str, address: int = 0) -> bytes:
    """The bytes of a listing, with `address` in the place it leaves for one."""
    digits = " ".join(line.partition(";")[0] for line in listing.splitlines())
    return bytes.fromhex(digits.replace("ADDRESS", address.to_bytes(8, "little").hex()))


def thunk(number: int, at: int, service: int) -> bytes:
    """The code at address `at` that hands a service's number to SERVICE at address `service`."""
    load = b"\xb8" + number.to_bytes(4, "little")  # mov eax, number
    return load + b"\xe9" + (service - at - 10).to_bytes(4, "little", signed=True)  # jmp service
