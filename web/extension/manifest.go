package main

// An object is a JSON object.
type object map[string]any

// manifest returns the manifest of a browser. Each permission has its row in
// README.md, which a test compares.
func manifest(browser string) object {
	m := object{
		"manifest_version": 3,
		"name":             "__MSG_name__",
		"description":      "__MSG_description__",
		"default_locale":   "en",
		"version":          "0.1.0",
		"incognito":        "not_allowed",
		"permissions":      permissions(browser),
		"host_permissions": []string{"http://*/*", "https://*/*"},
		"action":           object{"default_popup": "popup.html", "default_title": "__MSG_question__"},
		"content_security_policy": object{
			"extension_pages": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self' http: https:; object-src 'none'; base-uri 'none'; form-action 'none'",
		},
	}
	if browser == "firefox" {
		m["background"] = object{"scripts": []string{"background.js"}, "type": "module"}
		m["browser_specific_settings"] = object{
			"gecko": object{
				"id": "links@shoal-project.org", "strict_min_version": "140.0",
				"data_collection_permissions": object{"required": []string{"none"}},
			},
			"gecko_android": object{"strict_min_version": "142.0"},
		}
		return m
	}
	m["background"] = object{"service_worker": "background.js", "type": "module"}
	m["minimum_chrome_version"] = "137"
	return m
}

// permissions returns the fewest permissions with which everything works.
func permissions(browser string) []string {
	common := []string{"contextMenus", "scripting", "storage", "webRequest"}
	if browser == "chromium" {
		return append(common, "offscreen")
	}
	return common
}
