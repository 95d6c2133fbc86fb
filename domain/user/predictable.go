package user

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What is said here is held against a password as it was typed and against the
// keys that were pressed for it: "tkfkdgody" is 사랑해요 with the keyboard left
// in Latin, and ㅂㅈㄷㄱ쇼ㅕㅑ is qwertyui with it left in Korean.

// predictable reports whether an attacker would try the password early.
func (r PasswordRules) predictable(p string, owner Email, name string) bool {
	lower := strings.ToLower(p)
	if owner != (Email{}) && (strings.EqualFold(p, owner.address) || lower == owner.canonical || lower == owner.Local()) {
		return true
	}
	short, words := utf8.RuneCountInString(p) < longPassword, r.words(owner, name)
	return slices.ContainsFunc([]string{lower, pressedKeys(lower)}, func(typed string) bool {
		return isCommon(typed) || short && (isWalk(typed) || isMadeOf(typed, words))
	})
}

// longPassword is the length, in characters, from which on a password is held
// against the list alone: how often somebody has pressed a key or written a word
// is no longer among the first things to try, and there is no rule of
// composition.
const longPassword = 32

// leastWord is how long a word is, in characters, that counts as one; shorter
// ones stand in every second password.
const leastWord = 3

// words are those that a password must not be made of: the installation's own,
// the person's, and what Koreans choose most; each also in pressed keys.
// Longer ones come first, so that "lighthouse" is not taken for "light".
func (r PasswordRules) words(owner Email, name string) []string {
	parts := slices.Concat(r.Words, koreanWords, splitWords(owner.Local()), splitWords(name), []string{strings.ToLower(name)})
	var words []string
	for _, part := range parts {
		for _, w := range []string{strings.ToLower(part), pressedKeys(strings.ToLower(part))} {
			if utf8.RuneCountInString(w) >= leastWord {
				words = append(words, w)
			}
		}
	}
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(words)
}

func splitWords(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// isMadeOf reports whether nothing of a password is left but the digits and
// signs with which people decorate a word, once the words are taken out.
func isMadeOf(typed string, words []string) bool {
	rest := typed
	for _, w := range words {
		rest = strings.ReplaceAll(rest, w, "")
	}
	return rest != typed && utf8.RuneCountInString(rest) < MinPasswordLength && !strings.ContainsFunc(rest, unicode.IsLetter)
}

// koreanWords are common as passwords in Korea, mostly typed in Latin keys.
// Compiled by hand: greetings, feelings, places, animals, what sites are about.
var koreanWords = strings.Fields(`
비밀번호 패스워드 로그인 관리자 회원가입 사용자 인터넷 컴퓨터 아이디
사랑해 사랑해요 사랑합니다 사랑 행복 행복하자 안녕 안녕하세요 감사합니다 고마워 화이팅 파이팅 대박
대한민국 한국 서울 부산 대구 우리나라 독도 한글 무궁화
엄마 아빠 엄마아빠 아빠엄마 우리가족 가족 친구 바보 천사 공주 왕자 여보 자기야
강아지 고양이 호랑이 토끼 나비 하늘 바다 구름 태양 축구 야구 농구
네이버 카카오 카카오톡 다음 삼성 가나다라 가나다라마바사 일이삼사`)

// Rows of a QWERTY keyboard, as they lie above each other.
var keyRows = [...]string{"1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./"}

// keyAt finds a key on the keyboard.
func keyAt(c byte) (row, column int, ok bool) {
	for row, keys := range keyRows {
		if column := strings.IndexByte(keys, c); column >= 0 {
			return row, column, true
		}
	}
	return 0, 0, false
}

// isWalk reports whether a password is drawn on the keyboard: straight runs
// over neighbouring keys, or one key again and again, of three keys and more on
// average, as in qwer1234 or qazwsxedc.
func isWalk(typed string) bool {
	runs, before := 1, [2]int{}
	length := 1 // of the present run
	for i := 1; i < len(typed); i++ {
		step, near := keyStep(typed[i-1], typed[i])
		if near && (length == 1 || step == before) {
			before = step
			length++
			continue
		}
		runs++
		length = 1
	}
	return typed != "" && runs*3 <= len(typed)
}

// keyStep is the way from one key to another, and whether it is to a neighbour
// or to the same.
func keyStep(from, to byte) (step [2]int, near bool) {
	r1, c1, ok1 := keyAt(from)
	r2, c2, ok2 := keyAt(to)
	if !ok1 || !ok2 {
		return step, false
	}
	step = [2]int{r2 - r1, c2 - c1}
	return step, max(step[0], -step[0]) <= 1 && max(step[1], -step[1]) <= 1
}
