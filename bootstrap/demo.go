package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"gatehouse/application/accounts"
	"gatehouse/application/products"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
)

// demoCommand is "gatehouse demo".
type demoCommand struct{}

// Help is what "gatehouse demo --help" adds.
func (demoCommand) Help() string {
	return `It makes three users, an owner of products, a moderator and an admin, prints their passwords once, and gives the owner a small catalogue. What is there already is left as it is, so it can be run twice.`
}

// demoUser is one of the three.
type demoUser struct {
	email, name string
	role        user.Role
	user        user.User
	password    string // "" for one who was there before
}

func demoUsers() []demoUser {
	return []demoUser{
		{email: "owner@demo.example.com", name: "민서 Owner", role: user.RoleUser},
		{email: "moderator@demo.example.com", name: "Moderator", role: user.RoleModerator},
		{email: "admin@demo.example.com", name: "Admin", role: user.RoleAdmin},
	}
}

// demoCatalogue is a small shop: most of it on offer, some not yet, one no more.
func demoCatalogue() []product.Draft {
	return []product.Draft{
		{Name: "달항아리 백자", Description: "물레로 빚어 장작 가마에서 구운 백자. 높이 40 cm.", Amount: 1290000, Currency: "KRW", Stock: 3, Status: "published"},
		{Name: "나전칠기 보석함", Description: "자개와 옻칠로 마감한 3단 보석함.", Amount: 345000, Currency: "KRW", Stock: 12, Status: "published"},
		{Name: "한지 스탠드 조명", Description: "닥나무 한지로 만든 은은한 탁상 조명, E26 전구 포함.", Amount: 89000, Currency: "KRW", Stock: 40, Status: "published"},
		{Name: "제주 감귤 10 kg", Description: "서귀포 노지 감귤, 당일 수확하여 발송합니다.", Amount: 32900, Currency: "KRW", Stock: 250, Status: "published"},
		{Name: "놋그릇 반상기 7첩", Description: "손으로 두드려 만든 방짜 유기.", Amount: 780000, Currency: "KRW", Stock: 5, Status: "published"},
		{Name: "모시 여름 이불", Description: "한산 모시, 더블 사이즈. 다음 여름을 위해 준비 중.", Amount: 410000, Currency: "KRW", Status: "draft"},
		{Name: "Walnut Desk", Description: "Solid walnut, oiled, 160 x 75 cm, drawers with dovetails.", Amount: 129900, Currency: "USD", Stock: 8, Status: "published"},
		{Name: "Enamel Kettle", Description: "1.6 litres, for every kind of stove. Whistles in B flat.", Amount: 6450, Currency: "USD", Stock: 120, Status: "published"},
		{Name: "Merino Throw", Description: "Undyed wool from one farm, 130 x 180 cm.", Amount: 14900, Currency: "USD", Stock: 35, Status: "published"},
		{Name: "Field Notebook, 3-pack", Description: "Stone paper that takes rain; 64 dotted pages each.", Amount: 1990, Currency: "USD", Stock: 900, Status: "published"},
		{Name: "Cast Iron Pan", Description: "28 cm, pre-seasoned. Prices are still being worked out.", Amount: 7900, Currency: "USD", Status: "draft"},
		{Name: "Paper Calendar", Description: "Last year's edition.", Amount: 1200, Currency: "USD", Status: "archived"},
	}
}

// Run fills in what is missing.
func (demoCommand) Run(c *call) error {
	return c.withHouse(bringUp, func(ctx context.Context, h *house) error {
		users := demoUsers()
		fresh := 0
		for i := range users {
			if err := users[i].ensure(ctx, h); err != nil {
				return err
			}
			if users[i].password != "" {
				fresh++
			}
		}
		made, err := fillCatalogue(ctx, h, users[0].user)
		if err != nil {
			return err
		}
		return c.tellDemo(users, fresh, made)
	})
}

// ensure creates the user, unless there is one.
func (d *demoUser) ensure(ctx context.Context, h *house) error {
	found, err := h.operator.FindUser(ctx, d.email)
	if err == nil {
		d.user = found
		return nil
	}
	if !errors.Is(err, fault.NotFound) {
		return err
	}
	d.password = generatePassword()
	d.user, err = h.operator.CreateUser(ctx, accounts.Registration{Email: d.email, Password: d.password, Name: d.name}, []user.Role{d.role})
	return err
}

// fillCatalogue gives an owner without products some, and returns how many.
func fillCatalogue(ctx context.Context, h *house, owner user.User) (int, error) {
	actor := access.SignedIn(owner, 0)
	page, err := h.products.List(ctx, actor, products.Query{Mine: true, Limit: 1})
	if err != nil || len(page.Items) > 0 {
		return 0, err
	}
	catalogue := demoCatalogue()
	for i, draft := range catalogue {
		if _, err := h.products.Create(ctx, actor, draft, nil); err != nil {
			return i, fmt.Errorf("creating %q: %w", draft.Name, err)
		}
	}
	return len(catalogue), nil
}

func (c *call) tellDemo(users []demoUser, fresh, made int) error {
	if fresh == 0 && made == 0 {
		fmt.Fprintln(c.out, "The demo was run before, and nothing was changed. Its users are")
	} else {
		fmt.Fprintf(c.out, "Made %d products and %d users. The passwords are shown this once:\n", made, fresh)
	}
	w := tabwriter.NewWriter(c.out, 2, 0, 2, ' ', 0)
	for _, u := range users {
		password := u.password
		if password == "" {
			password = "(shown when it was made)"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", u.email, u.role, password)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.out, "Disable them where others can reach the service: \"gatehouse user disable ADDRESS\".")
	return err
}
